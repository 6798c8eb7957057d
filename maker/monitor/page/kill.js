// The red button. It asks for the token and for the account's name, sends both, and shows what came of it.
//
// The token is in the field it was typed into and in the one request it is sent with, nowhere else: not in storage, not
// in an address, not in a name of this page. The field is emptied when the dialog closes and once the kill was taken.

import { clock, sentence } from "./figures.js";
import { attribute, byId, shown, text } from "./dom.js";

export const ANSWER_SECONDS = 10; // the monitor writes one small file
const NOT_CONFIRMED = [400, 409]; // answers that are about the account's name; any other refusal is about the token

export class Kill {
  /** `account()` is the account's name or "", `now()` the maker's clock as the page reckons it, unix seconds. */
  constructor(account, now) {
    Object.assign(this, { account, now });
    this.dialog = byId("kill");
    this.token = byId("kill-token");
    this.confirm = byId("kill-confirm");
    this.outcome = byId("kill-outcome");
    this.close = byId("kill-cancel");
    this.button = byId("kill-send");
    this.pressedAt = null; // by the maker's clock; null: not in this opening of the dialog
    this.busy = false;
    byId("kill-open").addEventListener("click", () => this.open());
    this.close.addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("close", () => this.forget());
    byId("kill-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
  }

  open() {
    if (this.dialog.open) return;
    text(byId("kill-account"), this.account() || "the account's name");
    this.say(null, "");
    this.mark(null);
    this.pressedAt = null;
    this.show(false);
    this.dialog.showModal();
    this.token.focus();
  }

  forget() {
    this.token.value = "";
    this.confirm.value = "";
  }

  /** The fields, or what became of it. */
  show(taken) {
    shown(byId("kill-fields"), !taken);
    shown(byId("kill-follow"), taken);
    shown(this.button, !taken);
    text(this.close, taken ? "Close" : "Cancel");
  }

  say(level, words) {
    attribute(this.outcome, "data-level", level);
    text(this.outcome, words);
  }

  async send() {
    if (this.busy) return;
    const name = this.account();
    const token = this.token.value.trim();
    if (!token) return this.refuse(this.token, "Nothing was sent: the token is missing.");
    if (!/^[!-~]+$/.test(token)) return this.refuse(this.token, "Nothing was sent: no token has such letters.");
    if (name ? this.confirm.value.trim() !== name : !this.confirm.value.trim()) {
      return this.refuse(this.confirm, `Nothing was sent: type ${name || "the account's name"} to confirm.`);
    }
    this.mark(null);
    this.setBusy(true);
    this.say("quiet", "Sending…");
    const pressedAt = this.now();
    try {
      const answer = await fetch("kill", {
        method: "POST",
        headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
        body: JSON.stringify({ confirm: this.confirm.value.trim() }),
        cache: "no-store",
        redirect: "error",
        referrerPolicy: "no-referrer",
        signal: AbortSignal.timeout(ANSWER_SECONDS * 1000),
      });
      const told = await sentenceOf(answer);
      if (answer.ok) this.taken(pressedAt);
      else this.refuse(NOT_CONFIRMED.includes(answer.status) ? this.confirm : this.token, told || `Refused: HTTP ${answer.status}.`);
    } catch (error) {
      const why = error.name === "TimeoutError" ? `there was no answer within ${ANSWER_SECONDS} s` : "the monitor cannot be reached";
      this.say("bad", `It is not known whether it was done: ${why}. On the maker's machine, python3 run.py cancel-all CONF does the same.`);
    } finally {
      this.setBusy(false);
    }
  }

  taken(pressedAt) {
    this.forget();
    this.pressedAt = pressedAt;
    this.say("good", "The kill file is written: maker and guard obey it.");
    for (const id of ["kill-latched", "kill-pulled", "kill-empty"]) this.step(id, false, "Waiting for the next word of the monitor.");
    this.show(true);
    this.close.focus();
  }

  /** What became of it, told with each view. */
  follow(view) {
    if (this.pressedAt === null || !view) return;
    const since = this.pressedAt - 1; // the two clocks are one machine's; a view is up to a second old
    const { pulled_at: pulledAt, verified_empty_at: emptyAt } = view.state ?? {};
    const pulled = pulledAt >= since, empty = pulled && emptyAt >= since;
    const latch = view.latched && sentence(`Latched: ${view.latched}`);
    this.step("kill-latched", Boolean(latch), latch || "Waiting for the latch.");
    this.step("kill-pulled", pulled, pulled ? `Quotes were pulled at ${clock(pulledAt)} UTC.` : "Waiting for quotes to be pulled.");
    this.step("kill-empty", empty, empty ? `The exchange was read back empty at ${clock(emptyAt)} UTC.` : waiting(view));
  }

  step(id, done, words) {
    attribute(byId(id), "data-done", done ? "yes" : "no");
    text(byId(id), words);
  }

  refuse(field, words) {
    this.mark(field);
    this.say("bad", words);
    field.focus();
    field.select();
  }

  mark(field) {
    for (const one of [this.token, this.confirm]) attribute(one, "aria-invalid", one === field ? "true" : null);
  }

  setBusy(busy) {
    this.busy = busy;
    attribute(this.button, "aria-disabled", busy ? "true" : null);
  }
}

function waiting(view) {
  if (view.audit && !view.audit.agrees) return sentence(view.audit.sentence);
  if (view.maker === "gone") return "The maker has ended; its terminal says whether the exchange was read back empty.";
  return "Waiting for the exchange to be read back empty.";
}

async function sentenceOf(answer) {
  try {
    const told = (await answer.json()).sentence;
    return typeof told === "string" ? told : "";
  } catch {
    return "";
  }
}
