"use strict";

// The cut between grey and colorized.
const strip = document.querySelector(".reveal");
if (strip) {
  const range = strip.querySelector("input");
  const cut = () => strip.style.setProperty("--cut", `${range.value}%`);
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
