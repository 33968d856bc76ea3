// Files handed to the reader.
import { themed } from "./colors.js";

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

/** Hand over a canvas as a PNG.
 * @param {HTMLCanvasElement | null | undefined} canvas
 * @param {string} name without its ending */
export function saveCanvas(canvas, name) {
  canvas?.toBlob((blob) => blob && saveFile(blob, `${name}.png`));
}

/** Hand over a chart as a PNG, on the page's background and under the chart's title.
 * @param {HTMLCanvasElement} from
 * @param {string} title
 * @param {string} name without its ending
 * @param {number} ratio the canvas's pixels to one of the page */
export function savePng(from, title, name, ratio) {
  const canvas = document.createElement("canvas");
  const head = 30 * ratio;
  [canvas.width, canvas.height] = [from.width, from.height + head];
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  pen.fillStyle = themed("panel");
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.fillStyle = themed("text");
  pen.font = `600 ${14 * ratio}px system-ui`;
  pen.fillText(title, 10 * ratio, 20 * ratio);
  pen.drawImage(from, 0, head);
  saveCanvas(canvas, name);
}
