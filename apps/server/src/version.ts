/** The version of this release, as processes report it. A test holds package.json, the chart and the image to it. */
export const version = '0.2.0';
