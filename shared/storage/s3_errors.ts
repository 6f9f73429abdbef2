/** What went wrong with a request to S3 in; whether to try it again, and one sentence for people, out. */

interface Failure {
  name?: string;
  message?: string;
  code?: string;
  $metadata?: { httpStatusCode?: number };
}

export function statusOf(error: unknown): number | undefined {
  return (error as Failure | undefined)?.$metadata?.httpStatusCode;
}

/** Statuses after which the same request may do; 409 is two writes of one key at the same time. */
const passing = new Set([408, 409, 425, 429, 500, 502, 503, 504]);
/** Said with status 400 or 403; the client sets its clock by the answer. */
const passingNames = new Set(["RequestTimeout", "RequestTimeTooSkewed"]);
/** No request was sent: there is nothing to sign it with. */
const withoutKeys = "CredentialsProviderError";

/** Whether another try, a moment later, may go better. Without a status nobody has answered. */
export function isPassing(error: unknown): boolean {
  const { name = "" } = error as Failure;
  const status = statusOf(error);
  if (status === undefined) return name !== withoutKeys;
  return passing.has(status) || passingNames.has(name);
}

const setKeys = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";

/** Why it failed, and what to do where somebody can do something. */
export function explain(error: unknown): string {
  const { name = "Error", message = "", code } = error as Failure;
  const status = statusOf(error);
  if (name === withoutKeys) return `there are no keys: ${setKeys}`;
  if (status === undefined) {
    const why = code ?? (message === "" ? name : message);
    return `nothing answers (${why}): check --s3-endpoint and that it runs`;
  }
  if (name === "NoSuchBucket") return "there is no such bucket: make it, or name another one";
  if (name === "AccessDenied") return "these keys aren't allowed to (AccessDenied): let them";
  if (status === 403) return `the server doesn't know these keys (${name}): ${setKeys}`;
  if (status === 301 || name === "AuthorizationHeaderMalformed") {
    return `the bucket is in another region (${name}): set --s3-region`;
  }
  return `the server answered ${status} ${name}`;
}
