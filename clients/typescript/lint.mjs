// Lints OpenAPI documents with Redocly's rules: node lint.mjs FILE. The rules stand in redocly.yaml.
import { fileURLToPath } from "node:url";
import { formatProblems, getTotals, lint, loadConfig } from "@redocly/openapi-core";

const configPath = fileURLToPath(new URL("redocly.yaml", import.meta.url));
const config = await loadConfig({ configPath });
let bad = 0;
for (const ref of process.argv.slice(2)) {
  const problems = await lint({ ref, config });
  const totals = getTotals(problems);
  formatProblems(problems, { format: "stylish", totals, version: "" });
  bad += totals.errors + totals.warnings;
  console.log(`${ref}: ${totals.errors} errors, ${totals.warnings} warnings`);
}
process.exit(bad === 0 ? 0 : 1);
