import { App } from "./app.mjs";
import { messageOf } from "./client/errors.mjs";
import { requests } from "./client/requests.mjs";
import { toSubject } from "./model/subject.mjs";
import { StatusLine } from "./panels/status-line.mjs";

const status = new StatusLine();
try {
  const info = await requests.snapshot();
  new App(toSubject(info), status, info).start();
} catch (error) {
  status.tell(messageOf(error));
}
