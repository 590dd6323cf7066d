// Demonstration: every frame has been fetched when the page is loaded. Without this, the user follows the link.
addEventListener("load", () => document.getElementById("continue")?.click());
