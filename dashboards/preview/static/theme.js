// Runs before the first paint, so that a light page does not flash dark.
const stored = localStorage.getItem("theme");
const preferred = matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
document.documentElement.dataset.theme = stored ?? preferred;
