// What is known of a study, read once and kept up by what its stream tells.
import { signal } from "@preact/signals";
import { api } from "../lib/api.js";

const MOST_POINTS = 2000;
const REDRAW_MS = 250;

/** Let the browser answer the reader before the next chart is drawn. */
const pause = () => new Promise((go) => setTimeout(go));

export class StudyData {
  /** @param {string} id */
  constructor(id) {
    this.path = `studies/${encodeURIComponent(id)}`;
    /** @type {import("@preact/signals").Signal<any>} */
    this.study = signal(null);
    /** @type {import("@preact/signals").Signal<any>} */
    this.progress = signal(null);
    /** @type {import("@preact/signals").Signal<any>} */
    this.curves = signal(null);
    /** @type {import("@preact/signals").Signal<any[]>} */
    this.decisions = signal([]);
    /** @type {import("@preact/signals").Signal<any[]>} */
    this.findings = signal([]);
    /** Trials whose curves are to be shown besides the best and the running. */
    this.chosen = signal(/** @type {number[]} */ ([]));
    /** @type {ReturnType<typeof setTimeout> | 0} */
    this.drawn = 0;
    this.turns = 0;
    this.landed = 0;
    /** Readings on their way, with what the stream told meanwhile.
     * @type {Set<{turn: number, told: [string, any][]}>} */
    this.readings = new Set();
  }

  /** Read everything anew. Of two readings the later one holds, and what the stream tells holds over both. */
  async refresh() {
    const reading = { turn: ++this.turns, told: [] };
    this.readings.add(reading);
    try {
      await this.land(reading, await this.read());
    } finally {
      this.readings.delete(reading);
    }
  }

  read() {
    const chosen = this.chosen.value.length ? `?chosen=${this.chosen.value.join(",")}` : "";
    return Promise.all([
      api(this.path),
      api(`${this.path}/progress`),
      api(`${this.path}/curves${chosen}`),
      api(`${this.path}/decisions?limit=60`),
      api(`${this.path}/findings?limit=200`),
    ]);
  }

  /** @param {{turn: number, told: [string, any][]}} reading
   * @param {any[]} found */
  async land(reading, [study, progress, curves, decisions, findings]) {
    const parts = [
      () => (this.study.value = study),
      () => (this.progress.value = progress),
      () => (this.curves.value = curves),
      () => ((this.decisions.value = decisions.items), (this.findings.value = findings.items)),
    ];
    for (const part of parts) {
      if (reading.turn < this.landed) return;
      this.landed = reading.turn;
      part();
      await pause();
    }
    reading.told.forEach(([kind, message]) => this.apply(kind, message));
  }

  /** Take a message of the stream; tells whether more must be read anew.
   * @param {string} kind
   * @param {any} message
   * @returns {boolean} */
  take(kind, message) {
    this.readings.forEach((reading) => reading.told.push([kind, message]));
    return this.apply(kind, message);
  }

  /** @param {string} kind
   * @param {any} message
   * @returns {boolean} */
  apply(kind, message) {
    if (kind === "study") {
      this.study.value = { ...this.study.value, ...message, id: this.study.value?.id };
      return false;
    }
    if (kind === "report") return this.addPoint(message);
    if (kind === "trial") return message.state === "ended";
    if (kind === "event") {
      if (["halved", "scaled", "ended"].includes(message.kind)) {
        const known = this.decisions.value;
        if (!known.some((d) => d.seq === message.seq)) this.decisions.value = [message, ...known].slice(0, 200);
      }
      if (message.kind === "finding") {
        const known = this.findings.value;
        if (!known.some((d) => d.seq === message.seq)) this.findings.value = [message, ...known].slice(0, 1000);
      }
      return !["leased", "checkpoint", "rung", "halved", "scaled", "finding"].includes(message.kind);
    }
    return kind === "stale";
  }

  /** @param {any} point
   * @returns {boolean} whether its curve must be read first */
  addPoint(point) {
    const found = this.curves.value;
    const curve = found?.curves.find((c) => c.number === point.number);
    if (!curve || curve.attempt !== point.attempt) return true;
    if (curve.step.length && point.step <= curve.step[curve.step.length - 1]) return false;
    if (curve.step.length > MOST_POINTS) return true;
    curve.step.push(point.step);
    curve.value.push(point.status === "ok" ? point.value : null);
    curve.lr_factor.push(point.lr_factor);
    if (!this.drawn) {
      this.drawn = setTimeout(() => {
        this.drawn = 0;
        this.curves.value = { ...this.curves.value };
      }, REDRAW_MS);
    }
    return false;
  }
}
