import { type Command, InvalidArgumentError } from "commander";
import { print } from "./terminal.js";

/** Adds the command `inspect` to a program. */
export function registerInspect(program: Command): void {
  program
    .command("inspect")
    .description("show a snapshot file in a browser: bytes, values, regions, heat, differences")
    .argument("<snapshot>", "a snapshot file")
    .argument("[other]", "another one of the same regions, to compare with")
    .option(
      "--port <n>",
      "port to listen on, at the loopback address only; 0 chooses a free one",
      parsePort,
      0,
    )
    .action(async (snapshot: string, other: string | undefined, { port }: { port: number }) => {
      // No other command needs the server, so it is loaded here.
      const { serveInspector } = await import("../inspector/server.js");
      const options = other === undefined ? { snapshot, port } : { snapshot, other, port };
      const { url } = await serveInspector(options);
      print(`${url}\n`);
    });
}

function parsePort(text: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port > 65_535) {
    throw new InvalidArgumentError("It must be a port, from 0 to 65535.");
  }
  return port;
}
