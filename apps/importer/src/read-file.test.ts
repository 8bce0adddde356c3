import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { readFile } from './read-file.ts';

const heading = 'InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country';
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'caudal-import-'));
});

afterAll(() => rm(folder, { recursive: true }));

async function read(content: string) {
  const path = join(folder, 'file.csv');
  await writeFile(path, content);
  return await readFile(path);
}

test('a byte order mark, quoted commas, quotes and line ends of any kind', async () => {
  const lines = await read(
    `\uFEFF${heading}\r\n1,A,"LOUNGE,METAL ""SIGN""",2,2010-12-01 09:41:00,2.1,15311.0,United Kingdom\r\n\r\n2,B,x,1,,0,,\r\n`,
  );
  expect(lines).toEqual([
    {
      number: 2,
      InvoiceNo: '1',
      StockCode: 'A',
      Description: 'LOUNGE,METAL "SIGN"',
      Quantity: '2',
      InvoiceDate: '2010-12-01 09:41:00',
      UnitPrice: '2.1',
      CustomerID: '15311.0',
      Country: 'United Kingdom',
    },
    expect.objectContaining({ number: 4, InvoiceNo: '2', CustomerID: '', Country: '' }),
  ]);
});

test('columns in any order, and more than needed', async () => {
  const [line] = await read(
    'Country,Note,InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID\nFrance,hm,1,A,x,2,d,3,4\n',
  );
  expect(line).toEqual({
    number: 2,
    InvoiceNo: '1',
    StockCode: 'A',
    Description: 'x',
    Quantity: '2',
    InvoiceDate: 'd',
    UnitPrice: '3',
    CustomerID: '4',
    Country: 'France',
  });
});

test('a line with too few or too many values has a problem', async () => {
  const lines = await read(`${heading}\n1,A,x\n1,A,x,2,d,3,4,France,more\n1,A,x,2,d,3,4,France\n`);
  expect(lines.map(({ problem }) => problem !== undefined)).toEqual([true, true, false]);
  expect(lines[0]).toMatchObject({ number: 2, InvoiceNo: '1', Country: '' });
});

test('a heading without lines is a file of no lines', async () => {
  expect(await read(`${heading}\n`)).toEqual([]);
});

test('other files are refused with their problem', async () => {
  await expect(read('')).rejects.toThrow('is empty');
  await expect(read('InvoiceNo,Price\n1,2\n')).rejects.toThrow(
    'has no column StockCode, Description, Quantity, InvoiceDate, UnitPrice, CustomerID, Country; it has InvoiceNo, Price',
  );
  await expect(read(`${heading}\n1,A,5" NAIL,2,d,3,4,France\n`)).rejects.toThrow(/is not valid CSV: .* line 2/);
  await expect(readFile(join(folder, 'nothing.csv'))).rejects.toThrow('ENOENT');
});
