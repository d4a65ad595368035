/** Of the service and its command line. Equal to the version in package.json, which a test holds. */
export const VERSION = '0.1.0';
