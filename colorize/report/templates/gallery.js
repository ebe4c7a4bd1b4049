
// What the page knows of the gallery: figures of each photo by label, in the order of the metrics.
const known = JSON.parse(document.querySelector("#shown").textContent);
const titleOf = (label) => ({truth: "true colours", grey: "grey"})[label] || label;
const cards = [...document.querySelectorAll(".card")];
const shotOf = (card, label) => card.querySelector(`.shot[data-label="${CSS.escape(label)}"]`);

// Pictures lie in a list of their own, in the order of the page; a card gets its own when it comes near the window.
const sources = new Map();
{
  const list = document.querySelector("#pictures").textContent.split("\n");
  document.querySelectorAll(".shot img").forEach((picture, place) => sources.set(picture, list[place]));
}
const sourceOf = (card, label) => sources.get(shotOf(card, label).querySelector("img"));
const reveal = (card) => {
  for (const picture of card.querySelectorAll("img")) picture.src ||= sources.get(picture);
};
const near = new IntersectionObserver((entries) => {
  for (const {target, isIntersecting} of entries) {
    if (!isIntersecting) continue;
    near.unobserve(target);
    reveal(target);
  }
}, {rootMargin: "800px"});
for (const card of cards) near.observe(card);
addEventListener("beforeprint", () => cards.forEach(reveal));

// Filter by dataset, and order: by a number of the card, the largest first, or as chosen.
const filters = [...document.querySelectorAll(".filters button")];
for (const filter of filters) {
  filter.addEventListener("click", () => {
    for (const each of filters) each.setAttribute("aria-pressed", String(each === filter));
    for (const card of cards) card.hidden = Boolean(filter.dataset.dataset) && card.dataset.dataset !== filter.dataset.dataset;
    const left = cards.filter((card) => !card.hidden).length;
    document.querySelector("#photos-shown").textContent = `${left} photo${left === 1 ? "" : "s"}`;
  });
}
const order = document.querySelector("#order");
const sortCards = () => {
  const key = order.value;
  const value = (card) => card.dataset[key] === "" ? -Infinity : Number(card.dataset[key]);
  cards.sort((a, b) => (key === "place" ? 0 : value(b) - value(a)) || a.dataset.place - b.dataset.place);
  document.querySelector(".cards").append(...cards);
};
if (order) {
  order.addEventListener("change", sortCards);
  if (order.value !== "place") sortCards(); // A reloaded page keeps what was chosen.
}

// One photo enlarged: two of its pictures with a cut between them, and all its figures.
const viewer = document.querySelector("#viewer");
if (viewer) {
  const [left, right, cut] = ["#left", "#right", "#cut"].map((name) => viewer.querySelector(name));
  const pair = viewer.querySelector(".pair");
  let current = null;
  const visible = () => cards.filter((card) => !card.hidden);
  const cell = (kind, text, marks = "") => {
    const made = document.createElement(kind);
    made.textContent = text;
    if (marks) made.className = marks;
    if (kind === "th") made.scope = "row";
    return made;
  };

  const fill = (select, labels, wanted) => {
    select.replaceChildren(...labels.map((label) => new Option(titleOf(label), label)));
    select.value = labels.includes(wanted) ? wanted : labels[0];
  };

  const lay = () => {
    for (const [name, select] of [["over", left], ["under", right]]) {
      const picture = pair.querySelector(`.${name}`);
      picture.src = sourceOf(current, select.value);
      picture.alt = titleOf(select.value);
    }
    pair.style.setProperty("--cut", `${cut.value}%`);
    cut.setAttribute("aria-label", `Cut: left of it ${titleOf(left.value)}, right of it ${titleOf(right.value)}`);
    for (const button of viewer.querySelectorAll(".stage button")) {
      button.setAttribute("aria-pressed", String(button.dataset.label === left.value));
    }
  };

  const badness = ({goal}, value, truth) => {
    if (goal === "more") return -value;
    return goal === "less" ? value : Math.abs(value - truth);
  };

  const tabulate = (figures, labels) => {
    const head = document.createElement("tr");
    head.append(cell("td", ""), ...known.metrics.map((metric) => cell("td", metric.title, "figure")));
    viewer.querySelector(".measured thead").replaceChildren(head);
    const best = known.metrics.map((metric, column) => Math.min(
      ...known.models.filter((model) => typeof figures[model]?.[column] === "number")
        .map((model) => badness(metric, figures[model][column], figures.truth[column])),
    ));
    const rows = labels.map((label) => {
      const row = document.createElement("tr");
      row.append(cell("th", titleOf(label)), ...known.metrics.map((metric, column) => {
        const value = figures[label]?.[column];
        if (typeof value !== "number") return cell("td", "–", "figure none");
        const wins = known.models.includes(label) && badness(metric, value, figures.truth[column]) === best[column];
        return cell("td", value.toFixed(metric.digits), wins ? "figure best" : "figure");
      }));
      return row;
    });
    viewer.querySelector(".measured tbody").replaceChildren(...rows);
  };

  const show = (card, wanted) => {
    current = card;
    const labels = [...card.querySelectorAll(".shot")].map((shot) => shot.dataset.label);
    const other = right.value || "truth";
    fill(left, labels, wanted || left.value || known.champion);
    fill(right, labels, other === left.value ? (left.value === "truth" ? known.champion : "truth") : other);
    reveal(card);
    const shots = labels.map((label) => {
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.label = label;
      button.append(...[...shotOf(card, label).children].map((part) => part.cloneNode(true)));
      button.addEventListener("click", () => { left.value = label; lay(); });
      return button;
    });
    viewer.querySelector(".stage").replaceChildren(...shots);
    tabulate(known.photos[Number(card.dataset.place)].figures, labels);
    const shown = visible();
    const where = `photo ${Number(card.dataset.place) + 1}, ${shown.indexOf(card) + 1} of ${shown.length}`;
    viewer.querySelector(".where").textContent = card.dataset.dataset ? `${where} · ${card.dataset.dataset}` : where;
    lay();
    if (!viewer.open) viewer.showModal();
  };

  const turn = (by) => {
    const shown = visible();
    show(shown[(shown.indexOf(current) + by + shown.length) % shown.length]);
  };

  for (const card of cards) {
    card.addEventListener("click", (event) => show(card, event.target.closest(".shot")?.dataset.label));
  }
  for (const control of [left, right, cut]) control.addEventListener("input", lay);
  viewer.querySelector("#crisp").addEventListener("input", (event) => pair.classList.toggle("crisp", event.target.checked));
  const drag = (event) => {
    if (event.type === "pointermove" && !event.buttons) return;
    const box = pair.getBoundingClientRect();
    cut.value = String(100 * (event.clientX - box.left) / box.width);
    lay();
  };
  pair.addEventListener("pointerdown", drag);
  pair.addEventListener("pointermove", drag);
  for (const button of viewer.querySelectorAll("[data-turn]")) {
    button.addEventListener("click", () => turn(Number(button.dataset.turn)));
  }
  viewer.addEventListener("keydown", (event) => {
    if (event.target.matches("input, select, .scroll")) return; // Arrow keys move these.
    if (event.key === "ArrowLeft") turn(-1);
    if (event.key === "ArrowRight") turn(1);
  });
}

for (const dialog of document.querySelectorAll("dialog")) {
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
}
