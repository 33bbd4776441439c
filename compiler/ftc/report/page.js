"use strict";
const everyDetail = () => [...document.querySelectorAll("details")];

// What is printed is open; afterwards all is as it was.
let closed = [];
addEventListener("beforeprint", () => {
  closed = everyDetail().filter((one) => !one.open);
  closed.forEach((one) => { one.open = true; });
});
addEventListener("afterprint", () => closed.forEach((one) => { one.open = false; }));

// Buttons that open or close all rows of a part, where there are several.
for (const part of document.querySelectorAll(".examples, .flips")) {
  const rows = [...part.querySelectorAll(":scope > details")];
  if (rows.length < 2) continue;
  const button = document.createElement("button");
  const say = () => { button.textContent = rows.every((one) => one.open) ? "close all" : "open all"; };
  button.type = "button";
  button.className = "all";
  button.addEventListener("click", () => {
    const open = !rows.every((one) => one.open);
    rows.forEach((one) => { one.open = open; });
    say();
  });
  rows.forEach((one) => one.addEventListener("toggle", say));
  say();
  rows[0].before(button);
}

// The part that is being read is marked in the list of parts.
const links = new Map([...document.querySelectorAll("nav a")].map((one) => [one.hash.slice(1), one]));
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries.filter((one) => one.isIntersecting)) {
    links.forEach((link, id) => {
      if (id === entry.target.id) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    });
  }
}, { rootMargin: "-10% 0px -80% 0px" });
document.querySelectorAll("main > section").forEach((one) => seen.observe(one));
