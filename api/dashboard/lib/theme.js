// Dark and light: the system's, unless the reader chose.
import { effect, signal } from "@preact/signals";

const KEY = "tuner-theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

/** @type {import("@preact/signals").Signal<"light" | "dark">} */
export const theme = signal(chosen() ?? (dark.matches ? "dark" : "light"));
dark.addEventListener("change", () => (theme.value = chosen() ?? (dark.matches ? "dark" : "light")));

/** Change to the other theme, and keep it. */
export function turn() {
  theme.value = theme.value === "dark" ? "light" : "dark";
  localStorage.setItem(KEY, theme.value);
}

effect(() => {
  document.documentElement.dataset.theme = theme.value;
});

function chosen() {
  const kept = localStorage.getItem(KEY);
  return kept === "dark" || kept === "light" ? kept : null;
}
