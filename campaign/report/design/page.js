"use strict";
/* Sorts and filters tables, shows what a point is, opens what a link leads to, saves figures and tables.
   It asks for nothing: what it saves is made of the page itself. */
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const make = (tag, text, attributes = {}) => {
    const element = document.createElement(tag);
    element.textContent = text;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };

  const save = (name, type, text) => {
    const link = make("a", "", {download: name, href: URL.createObjectURL(new Blob([text], {type}))});
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  const campaign = document.documentElement.dataset.campaign;

  /* Tables */
  const text = (cell) => (cell.dataset.plain ?? cell.innerText ?? cell.textContent).trim().replace(/\s*\n\s*/g, "; ");
  const UNITS = {min: 60, h: 3600, d: 86400};
  const value = (cell) => {
    if (!cell) return null;
    const found = cell.dataset.value ?? cell.textContent.trim().replace(/,(?=\d{3})/g, "");
    const number = parseFloat(found);
    const unit = UNITS[/^[-+.\d]+ (min|h|d)$/.exec(found)?.[1]] ?? 1;
    return Number.isNaN(number) ? found.toLowerCase() : number * unit;
  };
  const compare = (one, other) => {
    if (typeof one === typeof other) return one < other ? -1 : one > other ? 1 : 0;
    return typeof one === "number" ? -1 : 1;
  };
  const sortable = (table) => {
    const heads = all("thead th", table);
    heads.forEach((head, column) => {
      const button = make("button", "", {type: "button"});
      button.append(...head.childNodes);
      head.append(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        heads.forEach((one) => one.setAttribute("aria-sort", "none"));
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const body = table.tBodies[0];
        const rows = [...body.rows].map((row) => [value(row.cells[column]), row]);
        rows.sort((one, other) => (up ? 1 : -1) * compare(one[0], other[0]));
        body.append(...rows.map((row) => row[1]));
      });
    });
  };
  const filterable = (table, tools) => {
    const rows = [...table.tBodies[0].rows];
    const label = make("label", "Filter ");
    const box = make("input", "", {type: "search", placeholder: "words, or nodes=4"});
    const count = make("span", `${rows.length} rows`, {role: "status"});
    const heads = all("thead th", table).map((head) => (head.dataset.name ?? head.textContent).trim().toLowerCase());
    const holds = (row, term) => {
      const parts = term.match(/^(.+?)(<=|>=|=|<|>)(.+)$/);
      const column = parts ? heads.findIndex((head) => head === parts[1] || head.endsWith("." + parts[1])) : -1;
      if (column < 0) return row.textContent.toLowerCase().includes(term);
      const own = value(row.cells[column]);
      const number = parseFloat(parts[3]);
      const other = Number.isNaN(number) ? parts[3] : number;
      if (typeof own !== typeof other) return false;
      return {"=": own === other, "<": own < other, ">": own > other, "<=": own <= other, ">=": own >= other}[parts[2]];
    };
    box.addEventListener("input", () => {
      const terms = box.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        row.hidden = !terms.every((term) => holds(row, term));
        shown += !row.hidden;
      }
      count.textContent = shown === rows.length ? `${shown} rows` : `${shown} of ${rows.length} rows`;
    });
    label.append(box);
    tools.append(label, count);
  };
  const lines = (table) => [...table.rows].filter((row) => !row.hidden).map((row) => [...row.cells].map(text));
  const csv = (table) => lines(table).map((row) => row.map((cell) =>
    /[",\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell).join(",") + "\r\n").join("");
  for (const table of all("table[data-name]")) {
    const tools = make("div", "", {class: "tools"});
    if (table.classList.contains("sortable")) sortable(table);
    if (table.classList.contains("filtered")) filterable(table, tools);
    const button = make("button", "Save as CSV", {type: "button"});
    button.setAttribute("aria-label", `Save as CSV: table ${table.dataset.name}`);
    button.addEventListener("click", () => save(`${campaign}-${table.dataset.name}.csv`, "text/csv", csv(table)));
    tools.append(button);
    const frame = table.closest(".wide");
    if (table.classList.contains("filtered")) frame.before(tools); else frame.after(tools);
  }

  /* Figures: saved as they are shown, on white paper */
  const LOOK = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray", "font", "text-anchor"];
  const picture = (shown) => {
    const copy = shown.cloneNode(true);
    const own = all("*", shown);
    all("*", copy).forEach((element, index) => {
      const look = getComputedStyle(own[index]);
      for (const name of LOOK) element.style.setProperty(name, look.getPropertyValue(name));
      for (const name of ["href", "data-tip", "tabindex"]) element.removeAttribute(name);
    });
    const paper = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    paper.setAttribute("width", "100%");
    paper.setAttribute("height", "100%");
    paper.style.fill = getComputedStyle(document.body).backgroundColor;
    copy.prepend(paper);
    return new XMLSerializer().serializeToString(copy);
  };
  for (const figure of all("figure[data-name]")) {
    const button = make("button", "Save as SVG", {type: "button"});
    button.setAttribute("aria-label", `Save as SVG: figure ${figure.dataset.name}`);
    button.addEventListener("click", () => {
      const shown = all("svg", figure).find((one) => one.getClientRects().length);
      save(`${campaign}-${figure.dataset.name}.svg`, "image/svg+xml", picture(shown));
    });
    const tools = make("div", "", {class: "tools"});
    tools.append(button);
    figure.append(tools);
  }

  /* What a point is, and which row is its own */
  const tip = make("div", "", {id: "tip", role: "tooltip", hidden: ""});
  document.body.append(tip);
  const show = (link) => {
    tip.textContent = link.dataset.tip;
    tip.hidden = false;
    const place = link.getBoundingClientRect();
    const own = tip.getBoundingClientRect();
    const left = Math.min(place.right + 8, innerWidth - own.width - 8);
    const below = place.bottom + 8 + own.height < innerHeight;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${Math.max(8, below ? place.bottom + 8 : place.top - own.height - 8)}px`;
    document.querySelector(link.getAttribute("href"))?.classList.add("lit");
  };
  const hide = () => {
    tip.hidden = true;
    all("tr.lit").forEach((row) => row.classList.remove("lit"));
  };
  for (const link of all("a[data-tip]")) {
    for (const event of ["pointerenter", "focus"]) link.addEventListener(event, () => { hide(); show(link); });
    for (const event of ["pointerleave", "blur"]) link.addEventListener(event, hide);
  }
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  for (const row of all("tr[id]")) {
    const points = all(`a[href="#${row.id}"][data-tip]`);
    const light = (on) => points.forEach((point) => point.classList.toggle("lit", on));
    row.addEventListener("pointerenter", () => light(true));
    row.addEventListener("pointerleave", () => light(false));
  }

  /* What a link leads to is opened first */
  const open = () => {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    if (!target) return;
    for (let one = target; one; one = one.parentElement) if (one.tagName === "DETAILS") one.open = true;
    if (target.hidden) target.hidden = false;
    target.scrollIntoView({block: "nearest"});
  };
  addEventListener("hashchange", open);
  open();
})();
