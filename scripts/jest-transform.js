// Jest's transform: Node's own type stripping, so that tests run the same sources as production.
import { stripTypeScriptTypes } from 'node:module';

export function process(source, path) {
  return { code: path.endsWith('.ts') ? stripTypeScriptTypes(source) : source };
}
