"use strict";
(() => {
  const LONGEST_NAME = 24; // on a phone
  const FEWEST_ROWS = 6; // smallest table that gets a filter
  const DASHES = ["solid", "dash", "dot"];
  const UNITS = { ms: 0.001, s: 1, m: 60, h: 3600 };
  const { figures, themes } = JSON.parse(document.getElementById("page-data").textContent);
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");

  // ---- tables

  // Returns the number at the start of a cell, durations in seconds; null for words.
  function number(content) {
    const text = content.replaceAll("\u00a0", " ");
    const time = text.match(/^(\d+) (h|m) (\d+) (m|s)$/);
    if (time) return time[1] * UNITS[time[2]] + time[3] * UNITS[time[4]];
    const match = text.match(
      /^(?:under |< |\[)?\$?([+-]?[\d,]*\.?\d+(?:e[+-]?\d+)?)(?: (ms|s)| MB| ±.*| of .*| to .*| GPU s| CPU s| GiB|%|,.*\])?$/i,
    );
    return match ? Number(match[1].replaceAll(",", "")) * (UNITS[match[2]] ?? 1) : null;
  }

  function keys(rows, column) {
    const texts = rows.map((row) => row.cells[column].textContent.trim());
    const numbers = texts.map(number);
    const numeric = numbers.filter((value) => value !== null).length;
    const empty = texts.filter((text) => text === "-" || text === "").length;
    return numeric > 0 && 2 * numeric >= texts.length - empty
      ? numbers
      : texts.map((text) => (text === "-" || text === "" ? null : text.toLowerCase()));
  }

  // Cells without a value come last in both directions; the sort is stable.
  function order(table, rows, column, direction) {
    let sorted = rows;
    if (direction !== "none") {
      const of = new Map(keys(rows, column).map((key, place) => [rows[place], key]));
      const sign = direction === "ascending" ? 1 : -1;
      sorted = [...rows].sort((one, other) => {
        const [a, b] = [of.get(one), of.get(other)];
        if (a === null || b === null) return (a === null) - (b === null);
        return a < b ? -sign : a > b ? sign : 0;
      });
    }
    table.tBodies[0].append(...sorted);
    const heads = table.tHead.rows[0].cells;
    for (const head of heads) head.setAttribute("aria-sort", "none");
    heads[column].setAttribute("aria-sort", direction);
  }

  function makeSortable(table) {
    const rows = [...table.tBodies[0].rows];
    const next = { none: "ascending", ascending: "descending", descending: "none" };
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () =>
        order(table, rows, column, next[head.getAttribute("aria-sort")]),
      );
      head.scope = "col";
      head.setAttribute("aria-sort", "none");
      head.append(button);
    });
  }

  // A row is shown if it contains all words, and if the explorer keeps its trial.
  function makeFilter(table) {
    const rows = [...table.tBodies[0].rows];
    const box = document.createElement("div");
    const label = document.createElement("label");
    const input = document.createElement("input");
    const count = document.createElement("span");
    box.className = "filter";
    input.type = "search";
    count.setAttribute("role", "status");
    label.append("Filter rows ", input);
    box.append(label, count);
    table.parentElement.before(box);
    let kept = () => true;
    const apply = () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !kept(row) || !words.every((word) => text.includes(word));
        shown += !row.hidden;
      }
      count.textContent = shown === rows.length ? "" : `${shown} of ${rows.length} rows`;
    };
    input.addEventListener("input", apply);
    return (keep) => {
      kept = keep;
      apply();
    };
  }

  // ---- figures

  function isDark() {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : prefersDark.matches;
  }

  function shorten(name) {
    return name.length > LONGEST_NAME ? `…${name.slice(1 - LONGEST_NAME)}` : name;
  }

  // Makes room for the data on a phone: shortens names, and puts the legend below the plot.
  function narrow(data, layout) {
    const names = layout.yaxis?.ticktext ?? layout.yaxis?.categoryarray ?? data[0]?.y;
    if (typeof names?.[0] === "string") {
      const tickvals = layout.yaxis.tickvals ?? names;
      Object.assign(layout.yaxis, { tickmode: "array", tickvals, ticktext: names.map(shorten) });
    }
    for (const trace of data) {
      trace.name = trace.name && shorten(trace.name);
      if (trace.visible === "legendonly") trace.showlegend = false;
    }
    const inLegend = data.filter((trace) => trace.name && trace.showlegend !== false);
    const room = 20 * new Set(inLegend.map((trace) => trace.name)).size;
    layout.height += room;
    layout.legend = { orientation: "h", x: 0, y: 0, yref: "container", yanchor: "bottom" };
    layout.margin = { ...layout.margin, b: layout.margin.b + room, l: 50 };
  }

  function painted(figure, theme) {
    const { data, layout } = structuredClone(figure);
    if (innerWidth < 700 && layout.height) narrow(data, layout);
    for (const trace of data) {
      if (trace.type === "parcoords") trace.line.colorscale = [[0, theme.pale], [1, theme.colours[0]]];
      if (trace.type === "heatmap") trace.colorscale = [[0, theme.paper], [1, theme.colours[0]]];
      const place = trace.meta?.place;
      if (place === undefined) continue;
      const colour = theme.colours[place % theme.colours.length];
      const dash = DASHES[Math.floor(place / theme.colours.length) % DASHES.length];
      trace.marker = { ...trace.marker, color: colour };
      if (trace.type === "scatter") trace.line = { ...trace.line, color: colour, dash };
    }
    const axis = { gridcolor: theme.grid, linecolor: theme.grid, zerolinecolor: theme.grid };
    return {
      data,
      layout: {
        ...layout,
        paper_bgcolor: theme.paper,
        plot_bgcolor: theme.paper,
        font: { color: theme.ink, family: "system-ui, sans-serif" },
        hoverlabel: { bgcolor: theme.paper, font: { color: theme.ink } },
        modebar: { bgcolor: theme.paper, color: theme.ink },
        uirevision: 1, // keeps zoom and hidden traces when the theme changes
        ...(layout.xaxis && { xaxis: { ...axis, ...layout.xaxis } }),
        ...(layout.yaxis && { yaxis: { ...axis, ...layout.yaxis } }),
      },
    };
  }

  function draw() {
    const theme = themes[isDark() ? "dark" : "light"];
    const config = {
      responsive: true,
      displaylogo: false,
      plotlyServerURL: "",
      // The first uploads the figure and its data; selections have no use here.
      modeBarButtonsToRemove: ["sendChartToCloud", "select2d", "lasso2d"],
    };
    return Promise.all(
      [...document.querySelectorAll("[data-figure]")].map((place) => {
        const { data, layout } = painted(figures[place.dataset.figure], theme);
        return Plotly.react(place, data, layout, config);
      }),
    );
  }

  // Returns the ids of the trials within the ranges on the explorer's axes; null for all.
  function keptTrials(trace) {
    const limits = trace.dimensions.filter((axis) => axis.constraintrange);
    if (limits.length === 0) return null;
    const within = (axis, row) => {
      const range = axis.constraintrange;
      const ranges = Array.isArray(range[0]) ? range : [range];
      return ranges.some(([low, high]) => low <= axis.values[row] && axis.values[row] <= high);
    };
    return new Set(trace.customdata.filter((_, row) => limits.every((axis) => within(axis, row))));
  }

  function linkExplorer(filters) {
    const place = document.querySelector('[data-figure="trial_explorer"]');
    if (!place) return;
    place.on("plotly_restyle", () => {
      const kept = keptTrials(place.data[0]);
      for (const [table, filter] of filters) {
        const column = [...table.tHead.rows[0].cells].findIndex(
          (head) => head.textContent === "trial",
        );
        if (column < 0) continue;
        filter((row) => kept === null || kept.has(row.cells[column].textContent));
      }
    });
  }

  // Plotly is embedded compressed, which more than halves the size of the page.
  async function unpackPlotly() {
    const packed = atob(document.getElementById("page-plotly").textContent);
    const bytes = Uint8Array.from(packed, (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
  }

  async function start() {
    const filters = new Map();
    for (const table of document.querySelectorAll("main table")) {
      makeSortable(table);
      if (table.tBodies[0]?.rows.length >= FEWEST_ROWS) filters.set(table, makeFilter(table));
    }
    if (Object.keys(figures).length > 0) {
      await unpackPlotly();
      await draw();
      linkExplorer(filters);
    }
    const button = document.getElementById("page-theme");
    button.hidden = false;
    button.addEventListener("click", () => {
      document.documentElement.dataset.theme = isDark() ? "light" : "dark";
      draw();
    });
    prefersDark.addEventListener("change", draw);
    document.documentElement.dataset.ready = "yes";
  }

  start();
})();
