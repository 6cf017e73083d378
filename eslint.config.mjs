import js from "@eslint/js";
import { defineConfig, globalIgnores } from "eslint/config";
import tseslint from "typescript-eslint";

export default defineConfig([
  globalIgnores(["dist/", "build/", "build-*/", "/prebuilds/", "coverage/", "docs/api/"]),
  js.configs.recommended,
  {
    files: ["**/*.ts", "**/*.mts"],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      // Indexing within bounds that the line before has checked.
      "@typescript-eslint/no-non-null-assertion": "off",
      // Getters taken off a prototype to be called on what cannot be trusted, and the closures
      // that internals are made of.
      "@typescript-eslint/unbound-method": "off",
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      // Addresses and counts in messages.
      "@typescript-eslint/restrict-template-expressions": [
        "error",
        { allowNumber: true, allowBoolean: true },
      ],
      // A check of what TypeScript believes impossible is the point: callers may be JavaScript.
      "@typescript-eslint/no-unnecessary-condition": "off",
    },
  },
  {
    files: ["lib/**"],
    rules: {
      "no-restricted-syntax": [
        "error",
        {
          selector: "ExportNamedDeclaration > VariableDeclaration[kind='let']",
          message: "scripts/bundle.mts binds imports to constants.",
        },
      ],
    },
  },
  {
    files: ["test/**"],
    // chai's assertions are properties.
    rules: { "@typescript-eslint/no-unused-expressions": "off" },
  },
  {
    files: ["**/*.mjs", "**/*.js", "**/*.cjs"],
    languageOptions: {
      globals: {
        console: "readonly",
        process: "readonly",
        require: "readonly",
        module: "writable",
        __dirname: "readonly",
        Buffer: "readonly",
        URL: "readonly",
        setTimeout: "readonly",
        structuredClone: "readonly",
        fetch: "readonly",
      },
    },
  },
]);
