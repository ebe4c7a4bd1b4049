"use strict";

// The cut between grey and colorized.
const reveal = document.querySelector(".reveal");
if (reveal) {
  const range = reveal.querySelector("input");
  const cut = () => reveal.style.setProperty("--cut", `${range.value}%`);
  range.addEventListener("input", cut);
  cut();
}

// Sorting: each column starts with its better side; a second click turns it round. Cells without a value stay last.
for (const button of document.querySelectorAll(".sortable thead button")) {
  const table = button.closest("table");
  button.addEventListener("click", () => {
    const head = button.closest("th");
    const column = head.cellIndex;
    const first = head.dataset.first || "ascending";
    const other = first === "ascending" ? "descending" : "ascending";
    const order = head.getAttribute("aria-sort") === first ? other : first;
    for (const cell of head.parentNode.cells) cell.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", order);
    const value = (row) => row.cells[column].dataset.value;
    const rows = [...table.tBodies[0].rows].sort((left, right) => {
      const [a, b] = [value(left), value(right)];
      if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
      const difference = column === 0 ? a.localeCompare(b) : Number(a) - Number(b);
      return order === "ascending" ? difference : -difference;
    });
    table.tBodies[0].append(...rows);
  });
}

// Gallery: filter by dataset, enlarge, turn the pages.
const cards = [...document.querySelectorAll(".card")];
const filters = [...document.querySelectorAll(".filters button")];
for (const filter of filters) {
  filter.addEventListener("click", () => {
    for (const each of filters) each.setAttribute("aria-pressed", String(each === filter));
    for (const card of cards) card.hidden = Boolean(filter.dataset.dataset) && card.dataset.dataset !== filter.dataset.dataset;
  });
}

const viewer = document.querySelector("#viewer");
if (viewer) {
  let current = 0;
  const visible = () => cards.filter((card) => !card.hidden);
  const show = (index) => {
    const shown = visible();
    current = (index + shown.length) % shown.length;
    const shots = [...shown[current].querySelectorAll(".shot")].map((shot) => shot.cloneNode(true));
    viewer.querySelector(".stage").replaceChildren(...shots);
    viewer.querySelector(".where").textContent = `${current + 1} of ${shown.length}, ${shown[current].dataset.dataset}`;
    if (!viewer.open) viewer.showModal();
  };
  for (const card of cards) card.addEventListener("click", () => show(visible().indexOf(card)));
  for (const button of viewer.querySelectorAll("[data-turn]")) {
    button.addEventListener("click", () => show(current + Number(button.dataset.turn)));
  }
  viewer.querySelector("[data-close]").addEventListener("click", () => viewer.close());
  viewer.addEventListener("click", (event) => event.target === viewer && viewer.close());
  viewer.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") show(current - 1);
    if (event.key === "ArrowRight") show(current + 1);
  });
}
