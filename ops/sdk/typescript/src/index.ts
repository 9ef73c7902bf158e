export { Client } from "./client.js";
export type { Settings } from "./connection.js";
export type { EventOptions, JobEvent, JobEventType } from "./events.js";
export { ProblemError, type Problem } from "./problem.js";
export type { components, operations, paths, webhooks } from "./schema.js";
export type { Entry, Method, PagedPath, PathOf, Schemas } from "./types.js";
export type { Source, UploadOptions } from "./upload.js";
export {
  verifyWebhook, WebhookError, type VerifyOptions, type WebhookEvent, type WebhookHeaders,
} from "./webhook.js";
