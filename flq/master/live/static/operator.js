// Actions of the operator: stop the run, fetch files. The token is asked for once and kept only in this tab.

import { say } from "./words.js";

const KEY = "flq.token";
const by = (id) => document.getElementById(id);

export const token = () => sessionStorage.getItem(KEY) ?? "";

/** Send a request with the token; throw an Error with the master's message if it is rejected. */
export async function ask(path, method = "GET") {
  let response;
  try {
    response = await fetch(path, { method, headers: { Authorization: `Bearer ${token()}` }, cache: "no-store" });
  } catch {
    throw new Error(say("unreachable"));
  }
  if (response.status === 401 || response.status === 403) {
    sessionStorage.removeItem(KEY);
    throw new Error(say("wrongToken"));
  }
  if (!response.ok) throw new Error((await response.json()).detail);
  return response;
}

/**
 * Ask for confirmation in a dialog, and for the token if it is unknown; then call perform(). The dialog stays until that
 * is done or cancelled. title, text, action and busy are names of texts. Return the value of perform(), undefined if
 * cancelled.
 */
export function askFirst({ title, text, action, busy, isDanger, perform }) {
  const dialog = by("dialog");
  by("dialog-title").textContent = say(title);
  by("dialog-text").textContent = say(text);
  const go = by("dialog-go");
  go.className = isDanger ? "main danger" : "main";
  const ready = () => {
    go.disabled = false;
    go.textContent = say(action);
    by("dialog-token").hidden = Boolean(token());
  };
  const complain = (sentence) => {
    by("dialog-problem").hidden = !sentence;
    by("dialog-problem").textContent = sentence;
  };
  by("token").value = "";
  complain("");
  ready();
  return new Promise((resolve) => {
    let result;
    const close = () => dialog.close();
    const submit = async (event) => {
      event.preventDefault();
      const typed = by("token").value.trim().replace(/^operator\s+/, "");
      if (!token() && !typed) {
        complain(say("needToken"));
        by("token").focus();
        return;
      }
      if (typed) sessionStorage.setItem(KEY, typed);
      complain("");
      go.disabled = true;
      go.textContent = say(busy ?? action);
      try {
        result = await perform();
        dialog.close();
      } catch (error) {
        ready();
        complain(error.message);
        (token() ? go : by("token")).focus();
      }
    };
    by("dialog-form").addEventListener("submit", submit);
    by("dialog-cancel").addEventListener("click", close);
    dialog.addEventListener("close", () => {
      by("dialog-form").removeEventListener("submit", submit);
      by("dialog-cancel").removeEventListener("click", close);
      by("token").value = "";
      resolve(result);
    }, { once: true });
    dialog.showModal();
    (token() ? by("dialog-cancel") : by("token")).focus();
  });
}

/** Call perform() with the token; ask for it first if it is unknown. */
export async function withToken(perform) {
  if (!token()) return askFirst({ title: "tokenTitle", text: "tokenText", action: "go", perform });
  return perform();
}
