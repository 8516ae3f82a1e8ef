// Before the first paint, so that a light page does not flash dark.
const kept = localStorage.getItem("theme");
const dark = matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
document.documentElement.dataset.theme = kept ?? dark;
