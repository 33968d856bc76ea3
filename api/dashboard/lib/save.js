// Files handed to the reader.
import { themed } from "./colors.js";
import { drawn, laid } from "./key.js";

/** Hand over a file.
 * @param {Blob} blob
 * @param {string} name */
export function saveFile(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

const HEAD = 30;

/** Return a chart as a picture that explains itself: on the page's background, under its title and its legend.
 * @param {HTMLCanvasElement} from
 * @param {string} title
 * @param {number} ratio the canvas's pixels to one of the page
 * @param {Element | null | undefined} legend what names the series on the page
 * @returns {HTMLCanvasElement} */
export function picture(from, title, ratio, legend) {
  const canvas = document.createElement("canvas");
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const key = legend ? laid(pen, legend, from.width / ratio) : { rows: [], height: 0 };
  const head = Math.round((HEAD + key.height) * ratio);
  [canvas.width, canvas.height] = [from.width, from.height + head];
  pen.fillStyle = themed("panel");
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(from, 0, head);
  pen.scale(ratio, ratio);
  pen.fillStyle = themed("text");
  pen.font = "600 14px system-ui";
  pen.fillText(title, 10, 20);
  drawn(pen, key.rows, HEAD);
  return canvas;
}

/** Hand over a chart as a PNG.
 * @param {HTMLCanvasElement | null | undefined} from
 * @param {{title: string, name: string, ratio: number, frame: Element | null}} how `name` without its ending; `frame` holds the chart and its legend */
export function savePng(from, { title, name, ratio, frame }) {
  if (!from) return;
  picture(from, title, ratio, frame?.querySelector(".legend")).toBlob((blob) => blob && saveFile(blob, `${name}.png`));
}
