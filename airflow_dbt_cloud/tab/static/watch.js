/**
 * Asks for what is known of a task: once, and again every 5 s while its run goes and somebody looks.
 *
 * While the run goes the live route is asked, which is cheap; what is stored is read again once a minute, and
 * each time when the run has ended or is not there yet. A question that failed is told beside the last
 * answer, and asked again unless that is of no use. After `stop` nothing is asked or told.
 */

import { readAnswer, readLive } from "./answer.js";
import { answerUrl, ask, liveUrl } from "./api.js";
import { isGoing, isTerminal } from "./statuses.js";

/** How often is asked, in milliseconds. */
export const INTERVAL = 5000;

const TURNS_PER_ANSWER = 12;

export class Watch {
  #abort = new AbortController();
  #known = { answer: null, live: null, trouble: "", isLive: true };
  #turns = 0;
  #timer = null;

  /** `tell` gets all that is known, whenever that changes; `page` is the document. */
  constructor(ids, tryNumber, tell, { page = globalThis.document, fetch = globalThis.fetch } = {}) {
    this.ids = ids;
    this.tryNumber = tryNumber;
    this.tell = tell;
    this.page = page;
    this.fetch = (...request) => fetch(...request);
  }

  /** Ask for the first time. */
  start() {
    this.page.addEventListener("visibilitychange", this.#onVisibility, { signal: this.#abort.signal });
    return this.#turn();
  }

  stop() {
    clearTimeout(this.#timer);
    this.#abort.abort();
  }

  #onVisibility = () => {
    if (this.#timer === "due" && !this.page.hidden) this.#turn();
  };

  async #turn() {
    this.#timer = null;
    this.#known.trouble = "";
    let isFinal = false;
    try {
      await this.#look();
    } catch (error) {
      this.#known.trouble = error.message;
      isFinal = error.isFinal ?? false;
    }
    const { answer } = this.#known;
    this.#known.isLive = !isFinal && (answer === null || isFollowed(this.#known));
    if (this.#known.isLive && !this.#abort.signal.aborted) {
      this.#timer = setTimeout(() => this.#whenSeen(), INTERVAL);
    }
    this.#say();
  }

  #whenSeen() {
    if (this.page.hidden) this.#timer = "due";
    else this.#turn();
  }

  async #look() {
    const { answer, live } = this.#known;
    if (!answer || !live || isTerminal(live.run?.status ?? "") || this.#turns % TURNS_PER_ANSWER === 0) {
      this.#known.answer = await readAnswer(await this.#ask(answerUrl(this.ids, this.tryNumber)));
    }
    this.#turns += 1;
    const { run } = this.#known.answer, isOver = run !== null && isTerminal(run.status);
    // It tells more than what was seen before.
    if (isOver) this.#known.live = null;
    if (isOver || !isFollowed(this.#known)) return;
    // What is stored need not wait for dbt Cloud.
    if (!answer) this.#say();
    this.#known.live = await this.#askLive();
  }

  // That the live route has no answer is no reason to hide what is stored, or was seen before.
  async #askLive() {
    try {
      return readLive(await this.#ask(liveUrl(this.ids)));
    } catch (error) {
      // There is no run yet.
      if (error.status === 404) return null;
      if (error.isFinal) throw error;
      this.#known.trouble = error.message;
      return this.#known.live;
    }
  }

  #ask(url) {
    return ask(url, { signal: this.#abort.signal, fetch: this.fetch });
  }

  #say() {
    if (!this.#abort.signal.aborted) this.tell({ ...this.#known });
  }
}

// The task goes on, or has left a run behind that does.
function isFollowed({ answer: { isOurs, task, run }, live }) {
  if (!isOurs || !task.isLastTry) return false;
  if (isGoing(task.state)) return true;
  const isOpen = Boolean(run?.id) && !isTerminal(run.status);
  return isOpen && (live === null || (live.run !== null && !isTerminal(live.run.status)));
}
