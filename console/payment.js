// What the businesses that take money have in common.

/** Why a payment ends a saga, in words. */
export const PAYMENT_REASONS = {
  PAYMENT_DECLINED: "payment declined",
  PAYMENT_TIMEOUT: "not paid in time",
  PAYMENT_CANCELLED: "payment cancelled",
};
