"use strict";
// Without this script, the page shows everything but the raw data. It adds what the reader can choose: sorting, filters, hidden
// backends and a baseline, all of it kept in the address; texts of marks; and a closer look at each cell.

const all = (what, of = document) => [...of.querySelectorAll(what)];
const one = (id) => document.getElementById(id);
const state = { place: "", base: "", q: "", hide: [], sort: {} };

// The address: #x1&base=jax&hide=keras&q=failed&sort=overview-table.3.d

function readAddress() {
  Object.assign(state, { place: "", base: "", q: "", hide: [], sort: {} });
  for (const part of location.hash.slice(1).split("&")) {
    const [key, value] = part.split("=").map(decode);
    if (value === undefined) state.place = key;
    else if (key === "base" || key === "q") state[key] = value;
    else if (key === "hide") state.hide = value.split("|").filter(Boolean);
    else if (key === "sort") {
      const [table, column, direction] = value.split(".");
      state.sort[table] = [Number(column), direction];
    }
  }
}

function decode(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

function writeAddress() {
  const parts = state.place ? [encodeURIComponent(state.place)] : [];
  if (state.base) parts.push(`base=${encodeURIComponent(state.base)}`);
  if (state.hide.length) parts.push(`hide=${encodeURIComponent(state.hide.join("|"))}`);
  if (state.q) parts.push(`q=${encodeURIComponent(state.q)}`);
  for (const [table, [column, direction]] of Object.entries(state.sort)) parts.push(`sort=${table}.${column}.${direction}`);
  history.replaceState(null, "", parts.length ? `#${parts.join("&")}` : location.pathname + location.search);
}

// Tables

function sortTable(table, column, direction) {
  const heads = all("thead th", table);
  if (!heads[column]) return;
  heads.forEach((head, place) => head.setAttribute("aria-sort", place !== column ? "none" : direction === "d" ? "descending" : "ascending"));
  const body = table.tBodies[0], sign = direction === "d" ? -1 : 1;
  const value = (row) => row.cells[column].dataset.v;
  const compare = (a, b) => {
    const [first, second] = [value(a), value(b)];
    if (first !== undefined || second !== undefined) {
      if (first === undefined || second === undefined) return first === undefined ? 1 : -1;  // rows without a number come last
      return sign * (Number(first) - Number(second));
    }
    return sign * a.cells[column].textContent.localeCompare(b.cells[column].textContent, "en", { numeric: true });
  };
  body.append(...[...body.rows].sort(compare));
}

function chooseSort(head) {
  const table = head.closest("table"), column = head.cellIndex, numeric = head.classList.contains("n");
  const now = head.getAttribute("aria-sort"), lower = head.querySelector(".better")?.textContent === "↓";
  const first = numeric && !lower ? "d" : "a";
  const direction = now === "none" ? first : now === "descending" ? "a" : "d";
  state.sort[table.id] = [column, direction];
  sortTable(table, column, direction);
  writeAddress();
}

function filterRows() {
  const plain = (text) => text.toLowerCase().replace(/[\s,]+/g, " ");
  const wanted = plain(state.q).trim(), hidden = new Set(state.hide);
  for (const row of all("table.sortable tbody tr")) {
    const cells = [...row.cells].map((cell) => cell.textContent).join(" ");
    const found = row.closest(".cells, .failed, .overview") === null || plain(`${cells} ${row.dataset.row ?? ""}`).includes(wanted);
    row.hidden = !found || hidden.has(row.dataset.who);
  }
  for (const mark of all("svg [data-who]")) mark.toggleAttribute("data-off", hidden.has(mark.dataset.who));
}

const usual = new Map();  // the numbers as they are without a baseline

function showRatios() {
  const ratios = JSON.parse(one("ratios")?.textContent ?? "[]");
  all("section[data-x]").forEach((section, place) => {
    const table = section.querySelector("table.results"), against = ratios[place] ?? {};
    const base = all("tbody tr", table).find((row) => row.dataset.who === state.base);
    const found = base && against[base.dataset.label];
    for (const row of all("tbody tr", table)) {
      for (const cell of all("td[data-m]", row)) {
        if (!usual.has(cell)) usual.set(cell, [cell.innerHTML, cell.className]);
        [cell.innerHTML, cell.className] = usual.get(cell);
        cell.removeAttribute("title");
        const said = found?.[row.dataset.label]?.[cell.dataset.m];
        if (said && row !== base) {
          cell.textContent = said[1] === "none" ? said[0] : `${said[0]} ${said[1]}`;
          cell.classList.add(said[1]);
          cell.title = said[2];
        } else if (row === base) cell.title = "the baseline";
      }
    }
  });
}

// Charts: pointer and arrow keys choose a mark, and its text is shown below the chart

function choose(svg, mark) {
  all(".mark.now", svg).forEach((other) => other.classList.remove("now"));
  mark?.classList.add("now");
  const said = svg.closest("figure").querySelector(".said");
  if (said) said.textContent = mark ? mark.dataset.text : "";
}

function stepMarks(svg, key) {
  const marks = all(".mark", svg).filter((mark) => !mark.closest("[data-off]"));
  const now = marks.findIndex((mark) => mark.classList.contains("now"));
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[key];
  const next = key === "Home" ? 0 : key === "End" ? marks.length - 1 : now < 0 ? 0 : (now + step + marks.length) % marks.length;
  choose(svg, marks[next]);
}

function saveChart(button) {
  const figure = button.closest("figure"), svg = figure.querySelector("svg").cloneNode(true);
  const space = "http://www.w3.org/2000/svg", [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
  const make = (name, attributes, text = "") => {
    const made = document.createElementNS(space, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.textContent = text;
    return made;
  };
  const lines = wrapped(figure.querySelector("figcaption").textContent, 62), below = wrapped(document.title + ", " + aboutRun(figure), 76);
  const top = 12 + 18 * lines.length, whole = top + height + 10 + 15 * below.length;
  const file = make("svg", { width, height: whole, viewBox: `0 0 ${width} ${whole}` });
  file.append(make("style", {}, one("chart-style").textContent), make("rect", { class: "paper", width: "100%", height: "100%" }));
  lines.forEach((line, n) => file.append(make("text", { class: "label title", x: 10, y: 20 + 18 * n }, line)));
  for (const [key, value] of Object.entries({ y: top, width, height })) svg.setAttribute(key, value);
  file.append(svg);
  below.forEach((line, n) => file.append(make("text", { class: "label caption", x: 10, y: top + height + 14 + 15 * n }, line)));
  save(`${button.dataset.name}.svg`, new XMLSerializer().serializeToString(file), "image/svg+xml");
}

function wrapped(text, width) {
  const lines = [];
  for (const word of text.split(/\s+/)) {
    if (lines.length && lines[lines.length - 1].length + word.length < width) lines[lines.length - 1] += ` ${word}`;
    else lines.push(word);
  }
  return lines;
}

function aboutRun(element) {
  const section = element.closest("section[data-x]")?.querySelector("h3")?.textContent;
  return [section, document.querySelector(".about")?.textContent].filter(Boolean).join("; ");
}

// Data

const unpacked = new Map();

async function unpack(block) {
  if (!unpacked.has(block)) {
    const bytes = Uint8Array.from(atob(block.textContent), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    unpacked.set(block, await new Response(stream).json());
  }
  return unpacked.get(block);
}

const everything = () => Promise.all(all("script.data").map(unpack));

async function openCell(name) {
  const [, run, number] = name.match(/^(?:r(\d+)-)?(\d+)$/);
  const { report, logs } = (await everything())[Number(run ?? 0)];
  const { parity, ...cell } = report.cells[Number(number)];
  one("cell-title").textContent = `${cell.task}, ${cell.evidence.shown ?? cell.backend}/${cell.mode}, seed ${cell.seed}`;
  one("cell-status").textContent = [cell.status, cell.reason, ...cell.warnings].filter(Boolean).join(": ");
  one("cell-parts").replaceChildren(
    part("Log", logs[number] ?? "This page has no log of this cell.", cell.status !== "ok"),
    part("Certificate", JSON.stringify(parity, null, 1), cell.status === "ok"),
    part("Stored cell", JSON.stringify(cell, null, 1), false),
  );
  if (!one("cell").open) one("cell").showModal();
}

function part(name, text, open) {
  const details = document.createElement("details"), summary = document.createElement("summary"), pre = document.createElement("pre");
  summary.textContent = name;
  pre.textContent = text;
  pre.tabIndex = 0;
  details.open = open;
  details.append(summary, pre);
  return details;
}

function save(name, text, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

const flat = (value, start, into) => {
  for (const [key, inner] of Object.entries(value)) {
    if (inner !== null && typeof inner === "object" && !Array.isArray(inner)) flat(inner, `${start}${key}.`, into);
    else into[start + key] = Array.isArray(inner) ? JSON.stringify(inner) : inner;
  }
  return into;
};

const quoted = (value) => {
  let text = value === null || value === undefined ? "" : String(value).replace(/\s+/g, " ");
  if (typeof value === "string" && /^\s*[=+\-@＝＋－＠]/.test(text)) text = `'${text}`;
  return /[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

async function saveCsv() {
  const cells = (await everything()).flatMap(({ report }) => report.cells.map(({ evidence, provenance, settings, versions, ...cell }) => flat(cell, "", {})));
  const columns = [...new Set(cells.flatMap(Object.keys))];
  save("cells.csv", [columns, ...cells.map((cell) => columns.map((name) => cell[name]))].map((row) => row.map(quoted).join(",")).join("\n"), "text/csv");
}

async function saveJson() {
  const reports = (await everything()).map(({ report }) => report);
  save("report.json", JSON.stringify(reports.length === 1 ? reports[0] : reports, null, 1), "application/json");
}

// Events

function show() {
  readAddress();
  const controls = one("controls");
  if (controls) {
    one("baseline").value = state.base;
    one("filter").value = state.q;
    for (const box of all("[data-hide]")) box.checked = !state.hide.includes(box.dataset.hide);
    showRatios();
  }
  for (const [id, [column, direction]] of Object.entries(state.sort)) if (one(id)) sortTable(one(id), column, direction);
  filterRows();
  if (state.place) one(state.place)?.scrollIntoView();
}

document.addEventListener("click", (event) => {
  const head = event.target.closest("thead th"), link = event.target.closest('a[href^="#"]');
  if (head) chooseSort(head);
  else if (event.target.closest(".open")) openCell(event.target.closest(".open").dataset.cell);
  else if (event.target.closest(".keep")) saveChart(event.target.closest(".keep"));
  else if (link) {
    event.preventDefault();
    state.place = decode(link.hash.slice(1));
    if (link.dataset.row) {
      state.q = link.dataset.row;
      one("filter").value = state.q;
      filterRows();
    }
    writeAddress();
    one(state.place)?.scrollIntoView();
  }
});
document.addEventListener("pointerover", (event) => {
  const mark = event.target.closest?.("svg.chart .mark");
  if (mark) choose(mark.closest("svg.chart"), mark);
});
document.addEventListener("keydown", (event) => {
  const svg = event.target.closest?.("svg.chart");
  if (svg && /^(Arrow|Home|End)/.test(event.key)) {
    event.preventDefault();
    stepMarks(svg, event.key);
  }
});
one("controls")?.addEventListener("submit", (event) => event.preventDefault());
one("filter")?.addEventListener("input", (event) => { state.q = event.target.value; filterRows(); writeAddress(); });
one("baseline")?.addEventListener("change", (event) => { state.base = event.target.value; showRatios(); writeAddress(); });
for (const box of all("[data-hide]")) box.addEventListener("change", () => {
  state.hide = all("[data-hide]").filter((other) => !other.checked).map((other) => other.dataset.hide);
  filterRows();
  writeAddress();
});
one("save-json")?.addEventListener("click", saveJson);
one("save-csv")?.addEventListener("click", saveCsv);
window.addEventListener("hashchange", show);
if (one("controls")) one("controls").hidden = false;
show();

// A page that a server keeps up to date asks for the present version, and loads itself again if that is not its own.

if ("live" in document.documentElement.dataset) {
  const own = document.documentElement.dataset.live;
  setInterval(async () => {
    try {
      const now = await (await fetch("version", { cache: "no-store" })).text();
      if (now !== own) location.reload();
      document.documentElement.dataset.live = own;
    } catch {
      document.documentElement.dataset.live = "gone";
    }
  }, 2000);
}
