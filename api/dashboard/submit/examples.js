// Documents to start from.

/** @param {{name: string, description: string, steps: number, objectives: Record<string, string>}[]} tasks
 * @returns {{word: string, text: string}[]} */
export function examples(tasks) {
  const built = tasks.map(({ name, objectives }) => {
    const [metric, mode] = Object.entries(objectives)[0] ?? ["val_loss", "min"];
    return { word: `Built-in: ${name}`, text: `objective: {metric: ${metric}, mode: ${mode}}\nrun: {task: ${name}}\nbudget: {trials: 30}\n` };
  });
  return [...built, ...OWN];
}

const OWN = [
  {
    word: "A function of my own",
    text: `objective: {metric: val_loss, mode: min}
run: {entrypoint: "mypackage.train:main"}
space:
  lr: {min: 0.0001, max: 1.0, log: true}
  batch_size: {values: [16, 32, 64, 128]}
  dropout: {min: 0.0, max: 0.7}
budget: {trials: 40, steps: 30}
`,
  },
  {
    word: "A command",
    text: `objective: {metric: val_loss, mode: min}
run: {command: [python, train.py, --lr, "{lr}", --layers, "{layers}"]}
space:
  lr: {min: 0.0001, max: 0.1, log: true}
  layers: {min: 1, max: 6}
budget: {trials: 40, steps: 30}
`,
  },
  {
    word: "My own loop (external)",
    text: `objective: {metric: val_loss, mode: min}
run: external
space:
  lr: {min: 0.0001, max: 0.1, log: true}
budget: {trials: 40}
`,
  },
];
