// Serves `pages` and `node_modules` as an ordinary web site, at the port that is the first argument.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";

const root = join(import.meta.dirname, "..");
const types = {
  ".css": "text/css",
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".svg": "image/svg+xml",
};

const server = createServer(async (request, response) => {
  const path = normalize(new URL(request.url, "http://site").pathname);
  try {
    if (!/^\/(pages|node_modules)\//.test(path)) throw new Error("not part of the site");
    const content = await readFile(join(root, path));
    response.setHeader("content-type", types[extname(path)] ?? "application/octet-stream");
    response.end(content);
  } catch {
    response.writeHead(404).end();
  }
});
server.listen(Number(process.argv[2]), "127.0.0.1");
