// A chart's legend as it stands on the page, drawn on a canvas: for pictures that leave the page.

/** @typedef {{width: number, draw: (pen: CanvasRenderingContext2D, x: number, y: number) => void}} Piece */

const FONT = "12px system-ui";
const ROW = 18;
const EDGE = 10;
const SPACE = 4;
const BETWEEN = 14;
const MOST = 12;
const SWATCHES = ".swatch, .swatch-line";

/** Lay a legend into rows; of more than a dozen series the rest is counted.
 * @param {CanvasRenderingContext2D} pen
 * @param {Element} legend with an element for each item; those of class `hint` are for the page alone
 * @param {number} width in pixels of the page
 * @returns {{rows: {x: number, piece: Piece}[][], height: number}} */
export function laid(pen, legend, width) {
  pen.font = FONT;
  /** @type {{x: number, piece: Piece}[][]} */
  const rows = [];
  let x = Infinity;
  const begin = () => {
    rows.push([]);
    x = EDGE;
  };
  for (const item of items(pen, legend)) {
    const long = item.reduce((sum, piece) => sum + piece.width + SPACE, -SPACE);
    if (x > EDGE && x + long > width - EDGE) begin();
    for (const piece of item) {
      if (x > EDGE && x + piece.width > width - EDGE) begin();
      rows[rows.length - 1].push({ x, piece });
      x += piece.width + SPACE;
    }
    x += BETWEEN - SPACE;
  }
  return { rows, height: rows.length * ROW };
}

/** Draw what was laid.
 * @param {CanvasRenderingContext2D} pen
 * @param {{x: number, piece: Piece}[][]} rows
 * @param {number} top */
export function drawn(pen, rows, top) {
  pen.font = FONT;
  pen.textBaseline = "middle";
  rows.forEach((row, i) => row.forEach(({ x, piece }) => piece.draw(pen, x, top + (i + 0.5) * ROW)));
}

/** @param {CanvasRenderingContext2D} pen
 * @param {Element} legend
 * @returns {Piece[][]} */
function items(pen, legend) {
  const shown = [...legend.children].filter((item) => !item.classList.contains("hint"));
  const series = shown.filter((item) => item.querySelector(SWATCHES));
  const over = new Set(series.slice(MOST));
  return shown.filter((item) => !over.has(item)).flatMap((item) => {
    const own = pieces(pen, item);
    const more = over.size && item === series[MOST - 1] ? [words(pen, `and ${over.size} more`, getComputedStyle(legend).color)] : [];
    return [...(own.length ? [own] : []), ...more];
  });
}

/** @param {CanvasRenderingContext2D} pen
 * @param {Element} element
 * @returns {Piece[]} */
function pieces(pen, element) {
  if (element.matches(".swatch-line")) return [stroke(/** @type {Element} */ (element.firstElementChild))];
  if (element.matches(".swatch")) return [patch(element)];
  const color = getComputedStyle(element.matches("a") ? /** @type {Element} */ (element.parentElement) : element).color;
  /** @type {Piece[]} */
  const found = [];
  let text = "";
  const flush = () => {
    found.push(...words(pen, text, color));
    text = "";
  };
  for (const node of element.childNodes) {
    if (node instanceof Text) text += node.data;
    if (!(node instanceof Element)) continue;
    flush();
    found.push(...pieces(pen, node));
  }
  flush();
  return found;
}

function words(pen, text, color) {
  return text.split(/\s+/).filter(Boolean).map((word) => ({
    width: pen.measureText(word).width,
    draw: (to, x, y) => {
      to.fillStyle = color;
      to.fillText(word, x, y);
    },
  }));
}

function stroke(line) {
  const style = getComputedStyle(line);
  const dash = (line.getAttribute("stroke-dasharray") || "").split(/[\s,]+/).filter(Boolean).map(Number);
  return {
    width: 22,
    draw: (pen, x, y) => {
      pen.strokeStyle = style.stroke;
      pen.lineWidth = Number.parseFloat(style.strokeWidth);
      pen.setLineDash(dash);
      pen.beginPath();
      pen.moveTo(x, y);
      pen.lineTo(x + 22, y);
      pen.stroke();
      pen.setLineDash([]);
    },
  };
}

function patch(swatch) {
  const style = getComputedStyle(swatch);
  const height = Number.parseFloat(style.height) || 3;
  return {
    width: 14,
    draw: (pen, x, y) => {
      pen.fillStyle = style.backgroundColor;
      pen.fillRect(x, y - height / 2, 14, height);
    },
  };
}
