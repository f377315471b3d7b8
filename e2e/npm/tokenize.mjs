// Cuts texts with the tokenizers of Hugging Face, as they are (Rust), for internal/guard/onnx/tokenizer.
// node tokenize.mjs tokenizer.json <texts.json
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const { Tokenizer } = createRequire(import.meta.url)('@anush008/tokenizers');
const tokenizer = Tokenizer.fromFile(process.argv[2]);
const texts = JSON.parse(readFileSync(0, 'utf8'));
const ids = [];
for (const text of texts) {
  const e = await tokenizer.encode(text, null, { addSpecialTokens: false });
  ids.push(Array.from(e.getIds()));
}
const around = Array.from((await tokenizer.encode('', null, { addSpecialTokens: true })).getIds());
console.log(JSON.stringify({ IDs: ids, Around: around }));
