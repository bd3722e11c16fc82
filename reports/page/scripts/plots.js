/* Adds to two figures what a drawing can't do: zoom, values under the cursor, curves that can be hidden.
   The page is whole without it. Needs uPlot, and the JSON in #plots (reports/page/plots.py). */
(function () {
  "use strict";
  var plots = JSON.parse(document.getElementById("plots").textContent);
  var TAILS = [1, 2, 10, 20, 100, 1000, 10000, 100000];

  function make(tag, attributes, text) {
    var made = document.createElement(tag);
    Object.keys(attributes || {}).forEach(function (name) { made.setAttribute(name, attributes[name]); });
    if (text) made.textContent = text;
    return made;
  }

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  }

  function place(plot, x) {
    if (x === null || x === undefined) return "";
    return plot.tail ? +(100 * (1 - 1 / x)).toFixed(3) + " % of the requests" : "second " + x;
  }

  function axis(label, more) {
    return Object.assign({
      label: label, stroke: colour("muted"), font: "12px system-ui, sans-serif",
      labelFont: "12px system-ui, sans-serif", grid: { stroke: colour("line"), width: 1 },
      ticks: { stroke: colour("line"), width: 1 }
    }, more || {});
  }

  function options(plot, shown, width) {
    var narrow = width < 460;
    var x = plot.tail
      ? axis(narrow ? "share of the requests" : "share of the requests that are at least this fast", {
          splits: function (u, at, low, high) {
            return TAILS.filter(function (tail) {
              return tail >= low && tail <= high && !(narrow && (tail === 2 || tail === 20));
            });
          },
          filter: function (u, splits) { return splits; },
          values: function (u, splits) {
            return splits.map(function (tail) { return +(100 * (1 - 1 / tail)).toFixed(4) + " %"; });
          }
        })
      : axis("second of the run");
    return {
      width: width, height: 360, legend: { show: false },
      cursor: { drag: { x: true, y: true, uni: 20 } },
      scales: { x: { time: false, distr: plot.tail ? 3 : 1 }, y: { distr: plot.wide ? 3 : 1 } },
      axes: [x, axis("latency (ms)", { size: 62 })],
      series: [{}].concat(plot.series.map(function (one, number) {
        return {
          label: one.label, show: shown[number], stroke: colour("s" + one.colour), width: one.thin ? 1 : 2,
          dash: one.dashed ? [6, 4] : [], spanGaps: true, points: { show: false }
        };
      }))
    };
  }

  function Figure(figure, plot, name) {
    var shown = plot.series.map(function (one) { return one.show; });
    var drawn = null, at = -1;
    var button = make("button", { type: "button", class: "plot-button", "aria-expanded": "false" }, "Zoom and read values");
    var box = make("div", { class: "plot", role: "group", tabindex: "0", "aria-label":
      name + ". Left and right arrow keys read values, Escape shows all." });
    var told = make("p", { class: "sub plot-values", "aria-live": "polite" });
    var boxes = make("div", { class: "plot-series", role: "group", "aria-label": "Curves" });
    var area = make("div", { class: "plot-area", hidden: "" });

    plot.series.forEach(function (one, number) {
      var label = make("label");
      var check = make("input", { type: "checkbox" });
      check.checked = shown[number];
      check.addEventListener("change", function () {
        shown[number] = check.checked;
        if (drawn) drawn.setSeries(number + 1, { show: check.checked });
        tell();
      });
      var swatch = make("span", { class: "plot-swatch", "aria-hidden": "true" });
      swatch.style.borderTopColor = "var(--s" + one.colour + ")";
      swatch.style.borderTopStyle = one.dashed ? "dashed" : "solid";
      label.append(check, swatch, document.createTextNode(one.label));
      boxes.append(label);
    });
    area.append(boxes, box, told);
    figure.querySelector("h3").after(button);
    button.after(area);
    figure.hidden = false;

    function tell() {
      if (at < 0) {
        told.textContent = "Drag to zoom, double click to show all; the arrow keys read values.";
        return;
      }
      var parts = plot.series.map(function (one, number) {
        var value = one.y[at];
        return shown[number] && value !== null ? one.label + ": " + value + " ms" : "";
      }).filter(Boolean);
      told.textContent = place(plot, plot.x[at]) + ": " + (parts.join("; ") || "nothing");
    }

    function draw() {
      if (drawn) drawn.destroy();
      var made = options(plot, shown, Math.max(240, box.clientWidth));
      made.hooks = { setCursor: [function (u) { at = u.cursor.idx === null || u.cursor.idx === undefined ? -1 : u.cursor.idx; tell(); }] };
      drawn = new uPlot(made, [plot.x].concat(plot.series.map(function (one) { return one.y; })), box);
    }

    function reset() {
      if (drawn) drawn.setData(drawn.data, true);
    }

    box.addEventListener("keydown", function (event) {
      var step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (event.key === "Escape") reset();
      if (!step || !drawn) return;
      event.preventDefault();
      at = Math.min(plot.x.length - 1, Math.max(0, at + step));
      drawn.setCursor({ left: drawn.valToPos(plot.x[at], "x"), top: 10 }, false);
      tell();
    });

    button.addEventListener("click", function () {
      var open = area.hidden;
      area.hidden = !open;
      button.setAttribute("aria-expanded", String(open));
      button.textContent = open ? "Close" : "Zoom and read values";
      figure.classList.toggle("plotted", open);
      if (open) { draw(); tell(); }
    });

    if (window.ResizeObserver) {
      new ResizeObserver(function () {
        if (drawn && !area.hidden) drawn.setSize({ width: Math.max(240, box.clientWidth), height: 360 });
      }).observe(area);
    }
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", function () {
      if (!area.hidden) draw();
    });
  }

  Object.keys(plots).forEach(function (name) {
    var figure = document.querySelector('[data-plot="' + name + '"]');
    if (figure) Figure(figure, plots[name], figure.querySelector("h3").textContent);
  });
})();
