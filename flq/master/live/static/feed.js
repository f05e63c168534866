// Receives messages on the run: a stream of server-sent events or, without one, polls of GET /feed.
//
// EventSource cannot send a token, so fetch reads the stream. Each message is complete.

const SILENCE_MS = 40000; // the master sends a heartbeat every 15 s
const POLL_MS = 3000;
const HIDDEN_MS = 15000; // a hidden page has no stream
const STREAM_AGAIN_MS = 30000; // time of polling before the stream is retried

export class Feed {
  #token; #take; #contact; #heard; #stop = null; #wake = null; #lastId = ""; #tag = ""; #noStreamUntil = 0;

  /**
   * token() returns the operator's token, or ""; take(kind, value) gets messages; contact(how) the connection's state;
   * heard() is called whenever the master has sent something.
   */
  constructor(token, take, contact, heard) {
    this.#token = token;
    this.#take = take;
    this.#contact = contact;
    this.#heard = heard;
    document.addEventListener("visibilitychange", () => this.again());
  }

  /** Receive messages forever. */
  async run() {
    for (;;) {
      const mayStream = !document.hidden && Date.now() >= this.#noStreamUntil;
      const pause = mayStream ? await this.#listen() : await this.#poll();
      if (pause) await new Promise((wake) => { this.#wake = wake; setTimeout(wake, pause); });
    }
  }

  /** Reconnect at once, since there is a token now, or the page is visible again. */
  again() {
    this.#noStreamUntil = 0;
    this.#stop?.abort();
    this.#wake?.();
  }

  #ask(path, headers) {
    this.#stop = new AbortController();
    if (this.#token()) headers.Authorization = `Bearer ${this.#token()}`;
    return fetch(path, { headers, signal: this.#stop.signal, cache: "no-store" });
  }

  /** Read the stream to its end; return the milliseconds to pause. */
  async #listen() {
    let silence;
    const heard = () => {
      clearTimeout(silence);
      silence = setTimeout(() => this.#stop.abort(), SILENCE_MS);
    };
    try {
      const response = await this.#ask("events", this.#lastId ? { "Last-Event-ID": this.#lastId } : {});
      if (response.status === 401) return this.#refused();
      if (!response.ok) {
        this.#noStreamUntil = Date.now() + STREAM_AGAIN_MS;
        return 0;
      }
      this.#contact("live");
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        heard();
        const { done, value } = await reader.read();
        if (done) break;
        this.#heard();
        const events = (text + value).split("\n\n");
        text = events.pop();
        for (const event of events) this.#hear(event);
      }
    } catch {
      if (document.hidden) return 0;
    } finally {
      clearTimeout(silence);
    }
    this.#contact("none");
    return POLL_MS;
  }

  #hear(event) {
    const fields = Object.fromEntries(event.split("\n").map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon), line.slice(colon + 1).trimStart()];
    }));
    if (fields.id) this.#lastId = fields.id;
    if (fields.data) this.#take(fields.event, JSON.parse(fields.data));
  }

  async #poll() {
    try {
      const response = await this.#ask("feed", this.#tag ? { "If-None-Match": this.#tag } : {});
      if (response.status === 401) return this.#refused();
      this.#heard();
      if (response.ok) {
        this.#tag = response.headers.get("ETag");
        for (const [kind, value] of Object.entries(await response.json())) this.#take(kind, value);
      }
      this.#contact(response.ok || response.status === 304 ? "polling" : "none");
    } catch {
      if (!this.#stop.signal.aborted) this.#contact("none");
    }
    return document.hidden ? HIDDEN_MS : POLL_MS;
  }

  #refused() {
    this.#contact("refused");
    return STREAM_AGAIN_MS;
  }
}
