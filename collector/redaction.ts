/**
 * Takes secrets out of command lines before anything hashes, stores or sends them. It prefers to take too much: what is
 * redacted needlessly costs a word of a story, what is missed is in a ledger for years. Every scan is linear.
 */

export const REDACTED = '[redacted]';

/** Arguments in, as many arguments out. */
export type Redact = (argv: readonly string[]) => string[];

/** A name is secret when one of its words ends like this: `--hf-token`, `authToken`, `CLIENT_SECRET`. */
const SECRET_WORD_END =
  /(?:token|passwords?|passwd|passphrase|passcode|secrets?|apikey|credentials?|userpass|dbpass|passin|passout|authkey|authorization)$/;
const SECRET_WORDS = new Set([
  'pass',
  'pwd',
  'pw',
  'auth',
  'authorization',
  'bearer',
  'cookie',
  'psk',
  'signature',
  'sig',
  'otp',
  'jwt',
]);
/** Words that programs also use for sub-commands: "gpuledger token create". */
const COMMAND_WORDS = new Set([
  ...['token', 'tokens', 'auth', 'secret', 'secrets', 'credential', 'credentials', 'pass', 'key', 'keys'],
  ...['cookie', 'signature', 'authorization'],
]);
/** … or when its words in a row contain one of these: `AWS_ACCESS_KEY_ID`, `--api-key`. */
const SECRET_KEYS =
  /(?:api|access|private|priv|secret|auth|account|shared|master|signing|encryption|session|storage)key/;
const LONGEST_NAME = 128;

const SCHEME = /(?:bearer|basic|token|digest|negotiate)[ \t]{1,8}/iy;
const SEPARATOR = /(?:\\(?:x5c)?)?["']?[ \t]{0,8}(?::=|[=:])[ \t]{0,8}/y;
const GAP = /[ \t]{1,8}/y;
const STRING = /"(?:\\(?:x5c)?.|[^"\\])*"?|'[^']*'?/sy;
/** A shell word: quoted, unquoted and escaped pieces in any mixture. */
const SHELL_WORD = /(?:"[^"]*"?|'[^']*'?|\\(?:x5c)?.|[^\s"'\\;|&])+/sy;
/** Up to the password of an address, unless what follows the colon is a port. */
const USER = /[^/?#@:\s]{0,1024}:(?!\d{1,5}(?:[/?#\s"'<>]|$))/y;
const ADDRESS = /[^\s"'<>]+/y;
const LOGIN = /[^\s"'<>,;|&]+/g;
const NAME = /[A-Za-z][A-Za-z0-9_.-]*/g;

/** Shapes of tokens that give themselves away, wherever they stand. */
const TOKEN_SHAPES = new RegExp(
  [
    '-----BEGIN[A-Z0-9 ]{0,64}-----[\\s\\S]*?(?:-----END[A-Z0-9 ]{0,64}-----|$)',
    // Keys of cloud accounts: so many digits of base 64, capitals, small letters and figures among them.
    '(?<![A-Za-z0-9/+])(?=[a-z0-9/+]{0,39}[A-Z])(?=[A-Z0-9/+]{0,39}[a-z])(?=[A-Za-z/+]{0,39}[0-9])' +
      '[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])',
    '(?<![A-Za-z0-9/+])[A-Za-z0-9/+]{86}==',
    '(?<![A-Za-z0-9])(?:' +
      [
        'gh[pousr]_[A-Za-z0-9]{16,}',
        'github_pat_[A-Za-z0-9_]{16,}',
        'glpat-[\\w-]{16,}',
        '(?:AKIA|ASIA)[A-Z0-9]{12,}',
        'sk-[A-Za-z0-9_-]{16,}',
        'sk_(?:live|test)_[A-Za-z0-9]{8,}',
        'hf_[A-Za-z0-9]{16,}',
        'xox[abeprs]-[\\w-]{10,}',
        'AIza[\\w-]{20,}',
        'npm_[A-Za-z0-9]{20,}',
        'eyJ[\\w-]{10,}(?:\\.[\\w-]*){0,4}',
      ].join('|') +
      ')',
  ].join('|'),
  'g',
);

/** Programs whose `-p` is a port, as long as the value looks like one. */
const PORT_PROGRAMS = new Set(['ssh', 'autossh', 'docker', 'podman', 'nerdctl', 'nc', 'ncat']);
const PORT = /^[\d.:-]{1,64}(?:\/(?:tcp|udp))?$/;
/** Programs that take the password right behind `-p`. */
const JOINED_PASSWORD = new Set([
  ...[
    'mysql',
    'mysqldump',
    'mysqladmin',
    'mysqlimport',
    'mysqlshow',
    'mariadb',
    'mariadb-dump',
    'mariadb-admin',
  ],
  ...['sshpass', 'mongo', 'mongosh', 'mongodump', 'mongorestore', '7z', '7za', '7zr', 'rar', 'unrar'],
]);
/** `-u user:password`, and with more words. */
const LOGIN_OPTION = /^(?:-u|-U|--[a-z-]{0,32}user|--login|--creds?)$/;
const LOGIN_JOINED = /^(?:-[uU]|--(?:[a-z-]{0,32}user|login|creds?)=)/;

/** `extraOptions`: names of further options whose value is secret, with or without dashes. */
export function createRedactor(extraOptions: readonly string[]): Redact {
  const extra = new Set(extraOptions.map((name) => name.replace(/^-+/, '').toLowerCase()));
  const isSecret = (name: string): boolean => extra.has(name.toLowerCase()) || isSecretName(name);
  return (argv) => {
    const program = (argv[0] ?? '').replace(/^.*\//s, '');
    const result: string[] = [];
    let hidden = 0;
    let insideKey = false;
    for (const [index, argument] of argv.entries()) {
      if (insideKey || hidden > 0) {
        const schemeOnly = hidden > 0 && /^(?:bearer|basic|token|digest|negotiate)$/i.test(argument);
        // What is taken for a secret may be an option that one follows.
        const goesOn = schemeOnly || takesNext(argument, argv[index + 1] ?? '', program, isSecret);
        if (hidden > 0 && !goesOn) hidden -= 1;
        if (argument.includes('-----END')) insideKey = false;
        result.push(schemeOnly ? argument : REDACTED);
        continue;
      }
      insideKey = /-----BEGIN(?![\s\S]*-----END)/.test(argument) && argument.length < LONGEST_NAME;
      if (takesNext(argument, argv[index + 1] ?? '', program, isSecret)) hidden = 1;
      result.push(redactArgument(argument, argv[index - 1] ?? '', program, isSecret));
    }
    return result;
  };
}

type IsSecret = (name: string) => boolean;

/** Whether the argument after this one is a secret. */
function takesNext(argument: string, next: string, program: string, isSecret: IsSecret): boolean {
  if (argument === '-p') return !(PORT_PROGRAMS.has(program) && PORT.test(next));
  if (/^bearer$/i.test(argument)) return true;
  if (argument.length > LONGEST_NAME) return false;
  const name = /^-{0,2}([A-Za-z][\w.-]*)(:?)$/.exec(argument);
  if (name === null) return false;
  const option = argument.startsWith('-');
  const word = name[1] ?? '';
  if (option || name[2] === ':') return isSecret(word);
  // "aws configure set aws_secret_access_key …"
  return !COMMAND_WORDS.has(word.toLowerCase()) && isSecret(word);
}

function redactArgument(argument: string, before: string, program: string, isSecret: IsSecret): string {
  if (JOINED_PASSWORD.has(program) && /^-p./s.test(argument)) return `-p${REDACTED}`;
  if (LOGIN_OPTION.test(before) || LOGIN_JOINED.test(argument)) {
    const mark = argument.search(/^-U/.test(before) || argument.startsWith('-U') ? /[:%]/ : /:/);
    if (mark !== -1 && !/^\d+$/.test(argument.slice(mark + 1)))
      return `${argument.slice(0, mark + 1)}${REDACTED}`;
  }
  const whole = wholeValue(argument, before, isSecret);
  if (whole !== null) return whole;
  return redactNames(redactLogins(redactAddresses(argument)), isSecret).replace(TOKEN_SHAPES, REDACTED);
}

/** `--name=value`, `NAME=value` and `Header: value` as one argument: all behind the mark goes, spaces or not. */
function wholeValue(argument: string, before: string, isSecret: IsSecret): string | null {
  const head = /^(-{0,2}([A-Za-z][\w.-]{0,127})(=|:\s?))/.exec(argument);
  if (head === null || head[0].length === argument.length || !isSecret(head[2] ?? '')) return null;
  // "sh -c 'TOKEN=x ./program …'" is a script: only the word goes, by the scan for names.
  const script = /^-[a-z]{0,8}c$/.test(before) && /\s/.test(argument);
  return script ? null : `${head[1] ?? ''}${REDACTED}`;
}

/** Values behind secret names inside longer text: scripts, JSON, queries, headers. */
function redactNames(text: string, isSecret: IsSecret): string {
  let result = '';
  let from = 0;
  NAME.lastIndex = 0;
  for (let name = NAME.exec(text); name !== null; name = NAME.exec(text)) {
    const word = name[0];
    const end = NAME.lastIndex;
    if (word.length < 2 || word.length > LONGEST_NAME || !isSecret(word)) continue;
    const option = text[name.index - 1] === '-';
    const start =
      match(SEPARATOR, text, end) ?? (option || /^bearer$/i.test(word) ? match(GAP, text, end) : null);
    if (start === null) continue;
    const value = match(SCHEME, text, start) ?? start;
    // In JSON and YAML a string ends at its quote; in a shell the word may go on behind it.
    const string = text.slice(end, start).includes(':') ? match(STRING, text, value) : null;
    const stop = string ?? match(SHELL_WORD, text, value);
    if (stop === null) continue;
    result += text.slice(from, value) + REDACTED;
    from = stop;
    NAME.lastIndex = stop;
  }
  return result + text.slice(from);
}

/** `scheme://user:password@host`: the password goes, even one that holds `/` or `@`. */
function redactAddresses(text: string): string {
  let result = '';
  let from = 0;
  let end = 0;
  let at = -1;
  for (let mark = text.indexOf('://'); mark !== -1; mark = text.indexOf('://', Math.max(from, mark + 3))) {
    const start = mark + 3;
    if (start > end) {
      end = match(ADDRESS, text, start) ?? start;
      at = text.slice(start, end).lastIndexOf('@') + start;
    }
    const password = match(USER, text, start);
    if (password === null || password > at) continue;
    result += text.slice(from, password) + REDACTED;
    from = at;
  }
  return result + text.slice(from);
}

/** `user:password@host` without a scheme, as ssh, proxies and databases take it. */
function redactLogins(text: string): string {
  return text.replace(LOGIN, (word: string) => {
    const colon = word.indexOf(':');
    const at = word.lastIndexOf('@');
    const user = word.slice(0, colon);
    const isLogin = colon > 0 && at > colon + 1 && at < word.length - 1 && !user.includes('@');
    // Not a path behind a host, an address with a scheme, nor an image with its digest.
    if (!isLogin || word[colon + 1] === '/' || word.slice(at + 1).startsWith('sha256:')) return word;
    return `${word.slice(0, colon + 1)}${REDACTED}${word.slice(at)}`;
  });
}

/** Where a sticky pattern that starts at `at` ends; null where it does not match. */
function match(pattern: RegExp, text: string, at: number): number | null {
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex : null;
}

function isSecretName(name: string): boolean {
  if (name.length > LONGEST_NAME || name === 'PWD') return false;
  const words = name
    .replace(/([a-z0-9])([A-Z])/g, '$1-$2')
    .toLowerCase()
    .split(/[-_.]+/);
  if (words.at(-1) === 'key') return true;
  if (words.some((word) => SECRET_WORDS.has(word) || SECRET_WORD_END.test(word))) return true;
  return SECRET_KEYS.test(words.join(''));
}
