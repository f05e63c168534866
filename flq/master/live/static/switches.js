// The switches of language and theme. The defaults are those of the browser; a choice is remembered.

import { current, preferred, say, speak } from "./words.js";

const by = (id) => document.getElementById(id);
const system = matchMedia("(prefers-color-scheme: dark)");

const isDark = () => (localStorage.getItem("flq.theme") ?? (system.matches ? "dark" : "light")) === "dark";

function paint() {
  by("dark").media = isDark() ? "all" : "not all";
  by("theme").setAttribute("aria-pressed", String(isDark()));
}

function useLanguage(name) {
  speak(name);
  by("language").textContent = say("other");
  by("language").setAttribute("aria-label", say("otherLabel"));
  by("language").lang = name === "zh" ? "en" : "zh-CN";
}

/** Set up both switches; call a function now and after each change. */
export function onSwitch(changed) {
  const repaint = () => {
    paint();
    // A style sheet takes effect only in the frame after a change of its media.
    requestAnimationFrame(() => requestAnimationFrame(changed));
  };
  useLanguage(localStorage.getItem("flq.language") ?? preferred());
  paint();
  system.addEventListener("change", repaint);
  by("language").addEventListener("click", () => {
    const next = current() === "zh" ? "en" : "zh";
    localStorage.setItem("flq.language", next);
    useLanguage(next);
    changed();
  });
  by("theme").addEventListener("click", () => {
    localStorage.setItem("flq.theme", isDark() ? "light" : "dark");
    repaint();
  });
  changed();
}
