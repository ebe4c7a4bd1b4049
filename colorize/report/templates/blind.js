
// The blind test: the true picture and a model's, sides and order by a seeded shuffle; nothing leaves the page.
const blind = document.querySelector("#blind-test");
if (blind) {
  const form = blind.querySelector("form");
  const parts = [form, blind.querySelector(".asking"), blind.querySelector(".score")];
  const sides = [...blind.querySelectorAll("[data-side]")];
  let pairs = [];
  let answers = [];
  let begun = 0;

  // Mulberry32: the same seed draws the same test in every browser.
  const generator = (seed) => () => {
    seed = (seed + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), seed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };

  const draw = (model, count, seed) => {
    const random = generator(seed);
    // In the order chosen by hash, however the gallery is sorted at the moment.
    const photos = [...cards].sort((a, b) => a.dataset.place - b.dataset.place);
    for (let last = photos.length - 1; last > 0; last -= 1) {
      const other = Math.floor(random() * (last + 1));
      [photos[last], photos[other]] = [photos[other], photos[last]];
    }
    return photos.slice(0, count).map((card) => ({
      card,
      model: model || known.models[Math.floor(random() * known.models.length)],
      real: random() < 0.5 ? "left" : "right",
    }));
  };

  // Wilson's 95 % interval of a binomial share.
  const wilson = (found, of) => {
    const z = 1.959964;
    const middle = (found + z * z / 2) / (of + z * z);
    const half = z / (of + z * z) * Math.sqrt(found * (of - found) / of + z * z / 4);
    return [Math.max(0, middle - half), Math.min(1, middle + half)];
  };

  const scored = (given) => {
    const found = given.filter((answer) => answer.correct).length;
    const [low, high] = wilson(found, given.length);
    return {answers: given.length, correct: found, share: found / given.length, low, high};
  };

  const goTo = (part) => {
    for (const each of parts) each.hidden = each !== part;
  };

  const ask = () => {
    const {card, model, real} = pairs[answers.length];
    for (const button of sides) {
      button.querySelector("img").src = sourceOf(card, button.dataset.side === real ? "truth" : model);
    }
    blind.querySelector(".progress").textContent = `Pair ${answers.length + 1} of ${pairs.length}`;
    begun = performance.now();
  };

  const percent = (share) => `${Math.round(100 * share)} %`;
  const finish = () => {
    const total = scored(answers);
    const lead = blind.querySelector(".score .lead");
    lead.textContent = `You found the real one in ${total.correct} of ${total.answers} pairs: ${percent(total.share)}, `
      + `95 % interval ${percent(total.low)} to ${percent(total.high)}.`;
    const models = [...new Set(answers.map((answer) => answer.model))].sort();
    const byModel = Object.fromEntries(models.map((model) => [model, scored(answers.filter((answer) => answer.model === model))]));
    const rows = models.map((model) => {
      const row = document.createElement("tr");
      const {answers: count, correct, low, high} = byModel[model];
      for (const [place, text] of [model, count, correct, `${percent(low)} to ${percent(high)}`].entries()) {
        const cell = document.createElement(place ? "td" : "th");
        cell.textContent = text;
        if (place) cell.className = "figure"; else cell.scope = "row";
        row.append(cell);
      }
      return row;
    });
    blind.querySelector(".score tbody").replaceChildren(...rows);
    const {model, seed} = Object.fromEntries(new FormData(form));
    const saved = {format: 1, report: document.title, model: model || "all", seed: Number(seed), interval: "Wilson, 95 %", score: total, by_model: byModel, answers};
    const link = blind.querySelector("#blind-save");
    link.href = `data:application/json;charset=utf-8,${encodeURIComponent(JSON.stringify(saved, null, 1))}`;
    goTo(parts[2]);
    lead.focus();
  };

  const answer = (chosen) => {
    const {card, model, real} = pairs[answers.length];
    const {id, dataset} = known.photos[Number(card.dataset.place)];
    const seconds = Math.round((performance.now() - begun) / 100) / 10;
    answers.push({photo: id, dataset, model, real, chosen, correct: chosen === real, seconds});
    if (answers.length < pairs.length) ask(); else finish();
  };

  const open = () => {
    goTo(form);
    if (!blind.open) blind.showModal();
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const {model, pairs: count, seed} = Object.fromEntries(new FormData(form));
    pairs = draw(model, Number(count), Number(seed));
    answers = [];
    goTo(parts[1]);
    ask();
    sides[0].focus();
  });
  for (const button of sides) button.addEventListener("click", () => answer(button.dataset.side));
  blind.addEventListener("keydown", (event) => {
    const side = {ArrowLeft: "left", ArrowRight: "right"}[event.key];
    if (side && !parts[1].hidden && !event.repeat) answer(side);
  });
  blind.querySelector("[data-again]").addEventListener("click", () => {
    form.elements.seed.value = String((Number(form.elements.seed.value) + 1) % 4294967296);
    open();
  });
  document.querySelector("#blind-open").addEventListener("click", open);
  const followed = () => location.hash === "#blind" && open();
  addEventListener("hashchange", followed);
  // So that the same link opens it again.
  blind.addEventListener("close", () => { if (location.hash === "#blind") location.hash = "blind-title"; });
  followed();
}
