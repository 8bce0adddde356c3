/** Ids of customers as token issuers make them, with every character that has a meaning somewhere on their way. */
export const customerIds: readonly string[] = [
  'auth0|5f7c8ec7c33c6c004bbafe82',
  'google-oauth2|113828739192837465',
  'samlp|corp.example|ada@corp.example',
  'ada+shop@example.org',
  'urn:example:user:42',
  // Ends as a verb of REST does.
  'urn:example:user:cancel',
  'https://issuer.example/users/17',
  // Base64, as ADFS makes them.
  '/+9aB3==',
  '_Zm9v-YmFy',
  "a.b~c!d$e&f'(g)*h,i;j=k:l@m|n/o-p_",
  'a//b/',
  'a/.../b',
  'x'.repeat(180),
];
