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
  }

  /** Read everything anew. */
  async refresh() {
    const chosen = this.chosen.value.length ? `?chosen=${this.chosen.value.join(",")}` : "";
    const [study, progress, curves, decisions, findings] = await Promise.all([
      api(this.path),
      api(`${this.path}/progress`),
      api(`${this.path}/curves${chosen}`),
      api(`${this.path}/decisions?limit=60`),
      api(`${this.path}/findings?limit=200`),
    ]);
    this.study.value = study;
    await pause();
    this.progress.value = progress;
    await pause();
    this.curves.value = curves;
    await pause();
    this.decisions.value = decisions.items;
    this.findings.value = findings.items;
  }

  /** Take a message of the stream; tells whether more must be read anew.
   * @param {string} kind
   * @param {any} message
   * @returns {boolean} */
  take(kind, message) {
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
