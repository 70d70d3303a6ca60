// Builds into the Python package; the result is committed, so that installing wfe needs no Node.
import { defineConfig } from "vite";

export default defineConfig({
  base: "./",
  build: {
    outDir: "../wfe/gateway/static",
    emptyOutDir: false, // the page of the API lives there, too
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    rollupOptions: {
      output: { entryFileNames: "assets/dashboard.js", assetFileNames: "assets/dashboard[extname]" },
    },
  },
  // For work on the pages: `npx vite`, beside `wfe serve --http 127.0.0.1:7780`.
  server: { proxy: { "/api": "http://127.0.0.1:7780" } },
});
