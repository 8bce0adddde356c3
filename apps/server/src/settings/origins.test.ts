import { describe, expect, test } from '@jest/globals';
import { parseOrigins } from './origins.ts';

describe('origins', () => {
  test('are scheme, host and port, each once', () => {
    const text = 'https://shop.example, http://localhost:5173,https://shop.example,http://[::1]:3000';
    expect(parseOrigins(text)).toEqual(['https://shop.example', 'http://localhost:5173', 'http://[::1]:3000']);
    expect(parseOrigins('https://xn--bcher-kva.example')).toEqual(['https://xn--bcher-kva.example']);
  });

  test.each([
    ['*', 'name each origin'],
    ['null', 'name each origin'],
    ['', 'is no origin'],
    ['shop.example', 'is no origin'],
    ['ftp://shop.example', 'begins with https'],
    ['https://shop.example/', 'as a browser sends it: https://shop.example'],
    ['https://shop.example/path', 'as a browser sends it: https://shop.example'],
    ['https://shop.example:443', 'as a browser sends it: https://shop.example'],
    ['HTTPS://Shop.example', 'as a browser sends it: https://shop.example'],
    ['https://*.shop.example', 'name each origin'],
    ['https://user@shop.example', 'as a browser sends it'],
    ['https://bücher.example', 'as a browser sends it: https://xn--bcher-kva.example'],
    ['https://shop.example,', 'is no origin'],
    ['https://shop.example https://other.example', 'is no origin'],
  ])('%j is refused: %s', (text, problem) => {
    expect(() => parseOrigins(text)).toThrow(problem);
  });
});
