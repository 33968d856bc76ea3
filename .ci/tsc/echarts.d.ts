// What the dashboard uses of ECharts; its own types take long to check.
export const init: any;
