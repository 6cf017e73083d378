import { App } from "./app.mjs";
import { messageOf } from "./client/errors.mjs";
import { requests } from "./client/requests.mjs";
import { toSubject } from "./model/subject.mjs";
import { StatusLine } from "./panels/status-line.mjs";

const status = new StatusLine();
try {
  new App(toSubject(await requests.snapshot()), status).start();
} catch (error) {
  status.tell(messageOf(error));
}
