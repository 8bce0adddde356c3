// Jest's transform: Node's own type stripping, so that tests run the very sources that production runs.
import { stripTypeScriptTypes } from 'node:module';

export function process(source, path) {
  return { code: path.endsWith('.ts') ? stripTypeScriptTypes(source) : source };
}
