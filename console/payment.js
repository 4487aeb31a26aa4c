// What the businesses that take money have in common.

/** Why a payment ends a saga, in words. */
export const PAYMENT_REASONS = {
  PAYMENT_DECLINED: "payment declined",
  PAYMENT_TIMEOUT: "not paid in time",
  PAYMENT_CANCELLED: "payment cancelled",
};

/** The breaker in front of the payment provider. */
export const PAYMENT_BREAKER = {
  name: "payment",
  of: "Payment breaker",
  open: "The payment provider fails, so it is left alone for a while: payments are put off and tried again, none is lost.",
};
