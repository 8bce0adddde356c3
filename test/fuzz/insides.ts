/** What no answer shows: stacks, files, statements, and words of libraries. */

/** hooks.py uses this expression too, for REST. */
export const insides =
  /\bat [^\n]{0,200}:\d+:\d+|node_modules|node:internal|\.[cm]?[jt]s:\d|\/(?:home|root|usr|opt|srv|var|tmp)\/|\b(?:Type|Range|Reference|Syntax|Assertion|Aggregate)Error\b|\b(?:SELECT|INSERT INTO|UPDATE|DELETE FROM)\s+[\w"*.]+\s|ECONN|EPIPE|\bpostgres(?:ql)?:\/\/|violates \w+ constraint|out of range for type|invalid input syntax|invalid byte sequence/;
