"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const sign = data.currency === "CNY" ? "¥" : "$";
  const el = (name, attributes = {}, ...children) => {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value === undefined || value === null || value === false) continue;
      node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  };
  // Made once each: a formatter is a thousand times dearer than its use.
  const formats = new Map();
  const format = (least, most) => {
    const key = least * 10 + most;
    if (!formats.has(key)) formats.set(key, new Intl.NumberFormat("en-US", { minimumFractionDigits: least, maximumFractionDigits: most }));
    return formats.get(key);
  };
  const collator = new Intl.Collator("en", { numeric: true });
  const money = (amount, digits) => {
    const size = Math.abs(amount);
    const places = digits ?? (size >= 1000 ? 0 : size >= 0.1 || size === 0 ? 2 : 4);
    const text = format(places, places).format(size);
    return (amount < 0 ? "−" : "") + sign + text;
  };
  const percent = (value, places = 1) => (value === null || value === undefined ? "–" : value.toFixed(places).replace("-", "−") + " %");
  const count = (value) => format(0, 0).format(value);
  const hours = (value) => format(0, value < 100 ? 1 : 0).format(value);
  const part = (of, whole) => (whole > 0 ? (100 * of) / whole : null);

  // ---- figures
  const total = data.total;
  const cards = [
    ["Saved", money(total.saved), total.saved_percent === null ? "" : percent(total.saved_percent) + " of what it would have cost", "first" + (total.saved < 0 ? " loss" : "")],
    ["Paid", money(total.paid), "instead of " + money(total.without)],
    ["Where spot stands in", percent(total.saved_percent_of_replaced), "saved, everything on top counted"],
    ["Spot share", percent(total.spot_percent), hours(total.spot_hours) + " of " + hours(total.spot_hours + total.on_demand_hours) + " instance hours"],
    ["Swaps", count(data.swaps), "overlap and failed attempts cost " + money(total.on_top)],
    ["Interruptions", count(data.interruptions.total), total.spot_hours > 0 ? ((1000 * data.interruptions.total) / total.spot_hours).toFixed(2) + " per 1,000 spot hours" : "no spot hours"],
  ];
  for (const [name, figure, more, kind] of cards) {
    $("cards").append(el("li", { class: kind }, el("span", {}, name), el("strong", {}, figure), el("span", {}, more)));
  }
  for (const note of data.notes) $("notes").append(el("p", { class: "note" }, note));

  // ---- charts
  const days = data.days.map((row) => {
    const [day, paid_on_demand, paid_spot, without, spot, on_demand] = row;
    return { day: new Date(day + "T00:00:00Z"), label: day, paid_on_demand, paid_spot, without, spot, on_demand, saved: without - paid_on_demand - paid_spot };
  });
  let sum = 0;
  for (const day of days) { sum += day.saved; day.sum = sum; }
  const ticks = (width) => Math.max(2, Math.min(days.length, Math.floor(width / 80)));
  const scales = (width, y) => ({
    width, marginLeft: 52, marginRight: 12, marginBottom: 28, style: { background: "none", overflow: "visible" },
    x: { type: "utc", label: null, ticks: ticks(width), tickFormat: d3.utcFormat("%b %-d"), interval: "day", ...(y.x ?? {}) }, y: { grid: true, label: null, ...y.y },
  });
  // One way of writing for all marks of an axis.
  const largest = Math.max(0, ...days.flatMap((row) => [row.without, Math.abs(row.sum)]));
  const scaleMoney = (amount) => (amount === 0 ? sign + "0" : money(amount, largest >= 10 ? 0 : largest >= 0.1 ? 2 : 4));
  const charts = {
    days: (width) => {
      const bars = days.flatMap((row) => [
        { ...row, what: "paid for on-demand", amount: row.paid_on_demand }, { ...row, what: "paid for spot", amount: row.paid_spot }, { ...row, what: "saved", amount: row.saved },
      ]);
      const title = (row) => `${row.label}\nsaved ${money(row.saved)} (${percent(part(row.saved, row.without))})\npaid ${money(row.paid_spot + row.paid_on_demand)} of ${money(row.without)}`;
      return Plot.plot({
        ...scales(width, { y: { tickFormat: scaleMoney } }), height: 280,
        x: { type: "band", label: null, tickFormat: d3.utcFormat("%b %-d"), ticks: undefined, padding: days.length > 60 ? 0.12 : 0.2, domain: days.map((row) => row.day) },
        color: { domain: ["paid for on-demand", "paid for spot", "saved"], range: ["var(--on-demand)", "var(--spot)", "var(--saved-fill)"] },
        marks: [
          Plot.axisX({ ticks: d3.range(ticks(width)).map((at) => days[Math.round((at * (days.length - 1)) / Math.max(1, ticks(width) - 1))].day), tickFormat: d3.utcFormat("%b %-d"), label: null, tickSize: 3 }),
          Plot.barY(bars, { x: "day", y: "amount", fill: "what", order: ["paid for on-demand", "paid for spot", "saved"] }),
          Plot.ruleY([0], { stroke: "currentColor" }),
          Plot.tip(days, Plot.pointerX({ x: "day", y: "without", title, fill: "var(--paper)", stroke: "var(--faint)" })),
        ],
      });
    },
    share: (width) => {
      const rows = days.filter((row) => row.spot + row.on_demand > 0).map((row) => ({ ...row, share: part(row.spot, row.spot + row.on_demand) }));
      return Plot.plot({
        ...scales(width, { y: { domain: [0, 100], tickFormat: (value) => value + " %", ticks: 4 } }), height: 200,
        marks: [
          Plot.areaY(rows, { x: "day", y: "share", fill: "var(--spot)", fillOpacity: 0.18 }), Plot.lineY(rows, { x: "day", y: "share", stroke: "var(--spot)", strokeWidth: 2 }),
          rows.length < 3 ? Plot.dot(rows, { x: "day", y: "share", fill: "var(--spot)" }) : null, Plot.ruleY([0], { stroke: "currentColor" }),
          Plot.tip(rows, Plot.pointerX({ x: "day", y: "share", title: (row) => `${row.label}\n${percent(row.share)} on spot`, fill: "var(--paper)", stroke: "var(--faint)" })),
        ],
      });
    },
    sum: (width) => Plot.plot({
      ...scales(width, { y: { tickFormat: scaleMoney, ticks: 4, zero: true } }), height: 200,
      marks: [
        Plot.areaY(days, { x: "day", y: "sum", fill: "var(--saved-fill)", fillOpacity: 0.3 }), Plot.lineY(days, { x: "day", y: "sum", stroke: "var(--saved)", strokeWidth: 2 }),
        days.length < 3 ? Plot.dot(days, { x: "day", y: "sum", fill: "var(--saved)" }) : null, Plot.ruleY([0], { stroke: "currentColor" }),
        Plot.tip(days, Plot.pointerX({ x: "day", y: "sum", title: (row) => `${row.label}\n${money(row.sum)} saved so far`, fill: "var(--paper)", stroke: "var(--faint)" })),
      ],
    }),
  };
  const said = {
    days: () => `Cost per day from ${data.from_day} to ${data.until_day}: ${money(total.paid)} paid of ${money(total.without)}, ${money(total.saved)} saved. The table below has each day.`,
    share: () => `Spot share over time: ${percent(total.spot_percent)} on the whole.`,
    sum: () => `Saved so far, day by day, up to ${money(total.saved)}.`,
  };
  const draw = (id) => {
    const figure = $(id);
    const width = Math.floor(figure.getBoundingClientRect().width);
    if (width < 50 || days.length === 0 || figure.drawn === width) return;
    figure.drawn = width;
    const svg = charts[id](width);
    svg.setAttribute("role", "img");
    // The picture has one name; its parts have none.
    svg.querySelectorAll("g[aria-label]").forEach((part) => part.removeAttribute("aria-label"));
    svg.setAttribute("aria-label", said[id]());
    figure.replaceChildren(svg);
  };
  for (const id of Object.keys(charts)) {
    draw(id);
    new ResizeObserver(() => requestAnimationFrame(() => draw(id))).observe($(id));
  }

  // ---- tables
  const rowsOf = (table, heads, rows) => {
    table.append(
      el("thead", {}, el("tr", {}, ...heads.map(([head, text]) => el("th", { scope: "col", class: text && "text" }, head)))),
      el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((cell, at) => el(at === 0 ? "th" : "td", { class: heads[at][1] && "text", scope: at === 0 ? "row" : null }, cell))))),
    );
  };
  rowsOf($("days-table"), [["Day"], ["Saved"], ["Paid"], ["Without"], ["Spot hours"], ["On-demand hours"]],
    days.map((row) => [row.label, money(row.saved), money(row.paid_on_demand + row.paid_spot), money(row.without), hours(row.spot), hours(row.on_demand)]));

  // ---- groups: sorted and filtered as data, shown a few at a time
  const groups = data.groups.map((row) => {
    const [region, name, saved, paid, without, spotHours, onDemandHours, swaps, interruptions, spot, onDemand, largest, worst, worstOf, trend] = row;
    const state = onDemand === 0 && spot > 0 ? "all spot" : spot === 0 ? "no spot" : "mixed";
    return {
      region, name, saved, paid, without, spotHours, onDemandHours, swaps, interruptions, spot, onDemand, largest, worst, worstOf, trend, members: spot + onDemand, state,
      percent: part(saved, without), share: part(spotHours, spotHours + onDemandHours), loss: part(largest, spot + onDemand), search: `${name} ${region} ${state}`.toLowerCase(),
    };
  });
  const several = new Set(groups.map((group) => group.region)).size > 1;
  const spark = (trend) => {
    // Cents per day.
    const [low, high] = [Math.min(0, ...trend), Math.max(0, ...trend)];
    if (trend.length < 2 || low === high) return "–";
    const x = (at) => (96 * at) / (trend.length - 1), y = (cents) => 22 - (20 * (cents - low)) / (high - low);
    const path = trend.map((cents, at) => `${at ? "L" : "M"}${x(at).toFixed(1)} ${y(cents).toFixed(1)}`).join("");
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 96 24");
    svg.setAttribute("class", "spark");
    svg.setAttribute("aria-hidden", "true");
    const zero = document.createElementNS(svg.namespaceURI, "line"), line = document.createElementNS(svg.namespaceURI, "path");
    for (const [key, value] of [["x1", 0], ["x2", 96], ["y1", y(0)], ["y2", y(0)]]) zero.setAttribute(key, value);
    line.setAttribute("d", path);
    svg.append(zero, line);
    return svg;
  };
  const columns = [
    ["Group", "name", (group) => [group.name, several ? el("small", {}, group.region) : null]],
    ["Saved", "saved", (group) => money(group.saved)],
    ["Saved %", "percent", (group) => percent(group.percent)],
    ["Per day", null, (group) => spark(group.trend)],
    ["Paid", "paid", (group) => money(group.paid)],
    ["Without", "without", (group) => money(group.without)],
    ["Spot share", "share", (group) => percent(group.share)],
    ["Members now", "members", (group) => `${group.members} (${group.spot} spot)`],
    ["Swaps", "swaps", (group) => count(group.swaps)],
    ["Interrupted", "interruptions", (group) => count(group.interruptions)],
    ["Worst loss", "loss", (group) => (group.loss === null ? "–" : `${group.largest} of ${group.members}`)],
  ];
  const AT_ONCE = 25;
  let order = { key: "saved", down: true }, shown = AT_ONCE, wanted = "";
  const body = el("tbody"), heads = new Map();
  const head = el("tr", {}, ...columns.map(([title, key]) => {
    const cell = el("th", { scope: "col" });
    if (key === null) { cell.append(title); return cell; }
    const button = el("button", { type: "button" }, title);
    button.addEventListener("click", () => {
      order = { key, down: order.key === key ? !order.down : key !== "name" };
      show();
    });
    heads.set(key, cell);
    cell.append(button);
    return cell;
  }));
  const table = $("groups");
  table.append(el("caption", { hidden: true }, "Groups"), el("thead", {}, head), body);
  const show = () => {
    const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
    const found = groups.filter((group) => words.every((word) => group.search.includes(word)));
    const { key, down } = order;
    found.sort((a, b) => {
      const [left, right] = [a[key], b[key]];
      // Nothing goes last, whichever way.
      if (left === null || right === null) return (left === null) - (right === null) || collator.compare(a.name, b.name);
      const by = typeof left === "string" ? collator.compare(left, right) : left - right;
      return (down ? -by : by) || collator.compare(a.name, b.name);
    });
    for (const [name, cell] of heads) {
      if (name === key) cell.setAttribute("aria-sort", down ? "descending" : "ascending"); else cell.removeAttribute("aria-sort");
    }
    const rows = found.slice(0, shown).map((group) => el("tr", {}, ...columns.map(([title, name, text], at) => {
      const content = [text(group)].flat();
      if (at === 0) return el("th", { scope: "row", title: group.name }, ...content);
      return el("td", { class: name === "saved" ? (group.saved < 0 ? "minus" : "plus") : null }, ...content);
    })));
    body.replaceChildren(...rows);
    const saved = found.reduce((all, group) => all + group.saved, 0);
    $("count").textContent = `${count(found.length)} of ${count(groups.length)} groups, ${money(saved)} saved`;
    $("all").hidden = found.length <= shown;
    $("all").textContent = `Show all ${count(found.length)}`;
  };
  $("filter").addEventListener("input", (event) => { wanted = event.target.value; shown = AT_ONCE; show(); });
  $("all").addEventListener("click", () => { shown = Infinity; show(); });
  show();

  // ---- worst loss
  const bars = (list, rows, none) => {
    if (rows.length === 0) return list.replaceWith(el("p", {}, none));
    const most = Math.max(...rows.map((row) => row.size));
    for (const { name, size, text, bad } of rows) {
      list.append(el("li", {}, el("b", { title: name }, name), el("span", { class: "bar" }, el("i", { class: bad && "bad", style: `width:${Math.max(1, (40 * size) / most).toFixed(1)}%` }), text)));
    }
  };
  const losing = groups.filter((group) => group.largest > 0).sort((a, b) => b.loss - a.loss || b.largest - a.largest || collator.compare(a.name, b.name));
  bars($("loss"), losing.slice(0, 12).map((group) => ({
    name: group.name, size: group.loss, bad: group.loss > 50,
    text: `${group.largest} of ${group.members} (${percent(group.loss, 0)})${group.worst * group.members > group.largest * group.worstOf ? `, was ${group.worst} of ${group.worstOf}` : ""}`,
  })), "No member is on spot: no pool of spot capacity could take one away.");
  const pools = data.pools.map(([region, type, zone, spotHours, paid, interruptions, now, of, platform]) => ({ region, type, zone, spotHours, paid, interruptions, now, of, platform, name: `${type} in ${zone}${platform === "Linux/UNIX" ? "" : ", " + platform}` }));
  const living = pools.filter((pool) => pool.now > 0).sort((a, b) => b.now - a.now || collator.compare(a.name, b.name));
  if (living.length === 0) $("loss-pools").remove();
  else rowsOf($("pools-now"), [["Pool"], ["Members"], ["Groups"], ["Spot hours"], ["Mean price"]],
    living.slice(0, 200).map((pool) => [pool.name, count(pool.now), count(pool.of), hours(pool.spotHours), pool.spotHours > 0 ? money(pool.paid / pool.spotHours, 4) + "/h" : "–"]));

  // ---- interruptions
  const struck = pools.filter((pool) => pool.interruptions > 0).sort((a, b) => b.interruptions - a.interruptions || collator.compare(a.name, b.name));
  $("int-lead").textContent = struck.length === 0 ? "EC2 took none of the instances back." : `EC2 took ${count(data.interruptions.total)} of the instances back, from ${count(struck.length)} of ${count(pools.length)} pools.`;
  if (struck.length === 0) $("ints").remove();
  else bars($("ints"), struck.slice(0, 12).map((pool) => ({ name: pool.name, size: pool.interruptions, text: `${count(pool.interruptions)}${pool.spotHours > 0 ? ` (${((1000 * pool.interruptions) / pool.spotHours).toFixed(1)} per 1,000 h)` : ""}` })), "");
  if (data.interruptions.latest.length === 0) $("int-list").remove();
  else rowsOf($("int-table"), [["When (UTC)"], ["Group", true], ["Instance", true], ["Pool", true], ["Age"]],
    data.interruptions.latest.map(([at, group, instance, pool, age]) => [at.slice(0, 16).replace("T", " "), group, instance, pool, hours(age) + " h"]));
  document.documentElement.dataset.ready = "true";
})();
