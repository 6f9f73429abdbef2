/**
 * Days in, an S3 lifecycle configuration out, which deletes segments of that age:
 *
 *     aws s3api put-bucket-lifecycle-configuration --bucket BUCKET --lifecycle-configuration file://RULE.json
 *
 * It takes the place of all rules that the bucket has. Only segments go, not what else is kept there.
 */
export function lifecycleRule(prefix: string, days: number): string {
  if (!Number.isInteger(days) || days < 1) {
    throw new RangeError(
      `Cannot write a lifecycle rule because its age must be whole days: it is ${days}`,
    );
  }
  const rule = {
    ID: "logmill-segments",
    Status: "Enabled",
    Filter: { Prefix: prefix === "" ? "segments/" : `${prefix}/segments/` },
    Expiration: { Days: days },
    // In a bucket with versions the expired ones would stay for ever.
    NoncurrentVersionExpiration: { NoncurrentDays: 1 },
  };
  return `${JSON.stringify({ Rules: [rule] }, null, 2)}\n`;
}
