import { sheet, type Html } from './html.ts'

/** The look of the report: one column on a phone, contents at the side on a desk, dark where the reader has it dark. */
export const style: Html = sheet`
:root {
  --paper: #f4f6f6; --card: #fff; --ink: #16262b; --soft: #54666c; --line: #d9e1e2; --faint: #eef2f2;
  --water: #0d4453; --water-ink: #eaf5f5; --water-soft: #b4d2d6; --link: #0b6478; --bars: #2b8a9d;
  --good: #17653f; --good-back: #e0f2e7; --attention: #7d4f00; --attention-back: #fbedcf; --bad: #a61f16; --bad-back: #fbe3e0;
  --mono: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #0d1619; --card: #142126; --ink: #e0eaec; --soft: #98adb3; --line: #273940; --faint: #1b2b31;
    --water: #0a3541; --water-ink: #eaf5f5; --water-soft: #9cc4ca; --link: #6cc6d8; --bars: #4fb0c4;
    --good: #7fd6a5; --good-back: #143626; --attention: #f0c264; --attention-back: #3a2c0e; --bad: #ff9d92; --bad-back: #451a16;
  }
}
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body {
  margin: 0; background: var(--paper); color: var(--ink); overflow-wrap: break-word;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Noto Sans KR", "Apple SD Gothic Neo", sans-serif;
}
a { color: var(--link); }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
.skip { position: absolute; left: -999em; }
.skip:focus { left: 8px; top: 8px; padding: 6px 12px; background: var(--card); z-index: 9; }

header { background: var(--water); color: var(--water-ink); padding: 28px max(16px, calc((100vw - 1208px) / 2)) 32px; }
.brand { margin: 0; font-size: 13px; font-weight: 700; }
.brand span { font-weight: 400; color: var(--water-soft); }
h1 { margin: 10px 0 2px; font-size: clamp(30px, 6vw, 46px); line-height: 1.1; letter-spacing: -.025em; }
.when { margin: 0; color: var(--water-soft); font-variant-numeric: tabular-nums; }
.verdict { margin: 18px 0 0; font-size: 18px; font-weight: 600; padding-left: 14px; border-left: 4px solid; }
.verdict.good { border-color: #58c98c; } .verdict.attention { border-color: #eeb442; } .verdict.bad { border-color: #ff7d6e; }

.page { max-width: 1240px; margin: 0 auto; padding: 0 16px 40px; }
nav ol { list-style: none; margin: 0; padding: 14px 0 0; display: flex; flex-wrap: wrap; gap: 6px; }
nav a { display: block; padding: 5px 11px; border-radius: 99px; background: var(--card); border: 1px solid var(--line); font-size: 13px; text-decoration: none; }
nav a:hover { border-color: var(--link); }
main { min-width: 0; }
section { padding-top: 36px; }
h2 { margin: 0; font-size: 24px; line-height: 1.2; letter-spacing: -.015em; }
h3 { margin: 28px 0 8px; font-size: 16px; } h4 { margin: 20px 0 4px; font-size: 15px; }
.note { margin: 2px 0 16px; color: var(--soft); }
p { margin: 6px 0; } small { display: block; color: var(--soft); font-size: 12.5px; line-height: 1.4; }
code { font-family: var(--mono); font-size: .9em; overflow-wrap: anywhere; }
footer { max-width: 1240px; margin: 0 auto; padding: 0 16px 40px; color: var(--soft); font-size: 13px; }
.failure { padding: 12px 16px; border-radius: 8px; background: var(--bad-back); color: var(--bad); }

.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 1px; margin: 0; border: 1px solid var(--line); border-radius: 10px; overflow: hidden; background: var(--line); }
.tiles div { background: var(--card); padding: 14px 16px; display: flex; flex-direction: column-reverse; justify-content: flex-end; }
.tiles dt { color: var(--soft); font-size: 13px; }
.tiles dd { margin: 0; font-size: 23px; font-weight: 650; letter-spacing: -.02em; font-variant-numeric: tabular-nums; }
.findings { list-style: none; margin: 0; padding: 0; }
.findings li { padding: 9px 0; border-top: 1px solid var(--line); }
.findings li:first-child { border-top: 0; }
.findings a { font-size: 13px; white-space: nowrap; }

.journey { list-style: none; margin: 0; padding: 0; display: grid; gap: 22px; }
.journey > li { position: relative; background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px 16px; min-width: 0; }
.journey > li + li::before { content: "↓"; position: absolute; top: -23px; left: 18px; color: var(--bars); font-weight: 700; }
.journey h4 { margin: 0; } .journey p { margin: 0 0 6px; color: var(--soft); font-size: 13px; }
.journey ul { list-style: none; margin: 0; padding: 0; }
.journey ul li { display: flex; justify-content: space-between; gap: 12px; padding: 2px 0; font-variant-numeric: tabular-nums; }
.journey code { min-width: 0; } .journey ul span { white-space: nowrap; }

.scroll { overflow-x: auto; margin: 8px 0 16px; border: 1px solid var(--line); border-radius: 10px; background: var(--card); }
table { border-collapse: separate; border-spacing: 0; width: 100%; font-size: 14px; }
caption { padding: 9px 14px; text-align: left; color: var(--soft); font-size: 13px; }
th, td { padding: 8px 14px; text-align: left; vertical-align: top; border-top: 1px solid var(--line); min-width: 5.5em; max-width: 26em; overflow-wrap: break-word; }
thead th { font-size: 12.5px; font-weight: 600; color: var(--soft); white-space: nowrap; background: var(--faint); }
tbody th { font-weight: 500; position: sticky; left: 0; z-index: 1; background: var(--card); min-width: 8em; max-width: 12em; }
tbody th code { overflow-wrap: break-word; }
thead th:first-child { position: sticky; left: 0; z-index: 2; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
td.number { white-space: nowrap; }
.value { white-space: pre-wrap; overflow-wrap: break-word; } .value.short { white-space: pre; } .none { color: var(--soft); font-style: italic; }
mark { background: var(--attention-back); color: var(--attention); padding: 1px 4px; border-radius: 4px; }

.mark { display: inline-block; padding: 0 8px; border-radius: 10px; font-size: 12.5px; font-weight: 600; line-height: 1.6; }
.mark.good { background: var(--good-back); color: var(--good); } .mark.attention { background: var(--attention-back); color: var(--attention); }
.mark.bad { background: var(--bad-back); color: var(--bad); } .mark.quiet { background: var(--faint); color: var(--soft); }
.share { display: flex; align-items: center; gap: 8px; white-space: nowrap; font-variant-numeric: tabular-nums; font-size: 13px; }
.bar { width: 56px; height: 7px; border-radius: 4px; background: var(--faint); overflow: hidden; display: inline-block; }
.bar i { display: block; height: 100%; min-width: 1px; background: var(--bars); }
.bar.good i { background: var(--good); } .bar.attention i { background: var(--attention); } .bar.bad i { background: var(--bad); }
.chips, .changes { list-style: none; margin: 0; padding: 0; }
.chips { display: flex; flex-wrap: wrap; gap: 4px; min-width: 13em; }
.chips li { padding: 1px 8px; border-radius: 6px; background: var(--faint); font-size: 13px; max-width: 100%; }
.chips b, .changes b { font-weight: 600; color: var(--soft); font-size: 12.5px; white-space: nowrap; }
.range { min-width: 15em; }
.tops { list-style: none; margin: 0; padding: 0; width: 15em; font-size: 13px; }
.tops li { display: flex; justify-content: space-between; gap: 10px; }
.tops .value { white-space: pre; overflow: hidden; text-overflow: ellipsis; } .tops b { font-weight: 500; color: var(--soft); white-space: nowrap; font-variant-numeric: tabular-nums; }
.changes { min-width: 16em; } .changes li { padding: 1px 0; } .changes small { display: inline; }
.changes .won .value { font-weight: 650; } .to { color: var(--link); }
.histogram { margin: 0; width: 168px; }
.histogram svg { display: block; width: 100%; height: 40px; border-bottom: 1px solid var(--line); } .histogram rect { fill: var(--bars); }
.histogram figcaption { display: flex; justify-content: space-between; gap: 8px; color: var(--soft); font-size: 11.5px; font-variant-numeric: tabular-nums; }

details { margin: 8px 0; }
summary { cursor: pointer; padding: 7px 12px; border-radius: 8px; background: var(--faint); overflow-wrap: anywhere; }
summary:hover { color: var(--link); }
details[open] > summary { margin-bottom: 8px; }

@media (min-width: 700px) {
  tbody th { min-width: 12em; max-width: 20em; }
  .journey { grid-template-columns: repeat(4, minmax(0, 1fr)); }
  .journey > li + li::before { content: "→"; top: 10px; left: -19px; }
}
@media (min-width: 1080px) {
  .page { display: grid; grid-template-columns: 172px minmax(0, 1fr); gap: 44px; }
  nav { position: sticky; top: 0; align-self: start; padding-top: 38px; }
  nav ol { display: block; padding: 0; }
  nav a { padding: 5px 12px; border: 0; border-left: 2px solid var(--line); border-radius: 0; background: none; font-size: 14px; }
}
@media print { nav, .skip { display: none; } .scroll { overflow: visible; } body { background: #fff; } }
`
