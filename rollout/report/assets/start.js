// Start everything once the page is there.

(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const redraw = startCharts(data.charts);
  startTheme(redraw);
  startNavigation();
  startTables();
  startCodes(data.codes);
  startSamples(data.browsers);
  startPrinting(redraw);
})();
