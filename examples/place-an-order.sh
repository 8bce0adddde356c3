#!/usr/bin/env bash
# Places an order over REST, reads it, and cancels it. It needs a running system (npm start) and the token that npm start
# prints:
#
#   TOKEN=... examples/place-an-order.sh [http://127.0.0.1:8080]
set -euo pipefail
base=${1:-http://127.0.0.1:8080}
: "${TOKEN:?Set TOKEN to the token that npm start prints.}"
run=$(date +%s)-$$ # New ids for each run of the script.
headers=$(mktemp)
trap 'rm -f "$headers"' EXIT

# call METHOD PATH [BODY]: prints the answer, or prints the problem and fails. The answer's headers are in $headers.
call() {
  curl --silent --show-error --fail-with-body --max-time 10 --dump-header "$headers" --request "$1" "$base$2" \
    --header "Authorization: Bearer $TOKEN" ${seen:+--header "Consistency-Token: $seen"} \
    ${3:+--header 'Content-Type: application/json' --data "$3"}
}

# field NAME: prints the first text with this name in the JSON of the standard input.
field() { grep -o "\"$1\":\"[^\"]*\"" | head -n 1 | cut -d '"' -f 4; }

# await PATH NAME TEXT: reads the resource until its field has this text, for 10 s at most. Orders and views change by
# events, a moment after the command.
await() {
  for _ in $(seq 50); do
    found=$(call GET "$1" | field "$2")
    if [ "$found" = "$3" ]; then return; fi
    sleep 0.2
  done
  echo "$1 still has $2 $found." >&2
  return 1
}

echo '1. A product with stock, and a customer with money in a wallet'
call POST /v1/products "{\"productId\": \"lamp-$run\", \"title\": \"Desk lamp\", \"price\": {\"minorUnits\": \"2500\", \"currency\": \"GBP\"}}" >/dev/null
call POST /v1/stock "{\"productId\": \"lamp-$run\", \"quantity\": \"10\"}" >/dev/null
call POST /v1/customers "{\"customerId\": \"ada-$run\", \"displayName\": \"Ada\", \"country\": \"GB\"}" >/dev/null
call POST /v1/wallets "{\"walletId\": \"ada-$run\", \"customerId\": \"ada-$run\", \"currency\": \"GBP\"}" >/dev/null
call POST "/v1/wallets/ada-$run:deposit" '{"amount": {"minorUnits": "6000", "currency": "GBP"}}' >/dev/null

echo '2. An order of two, paid from the wallet'
order=$(call POST /v1/orders "{\"customerId\": \"ada-$run\", \"country\": \"GB\", \"lines\": [{\"productId\": \"lamp-$run\", \"quantity\": \"2\"}], \"paymentMethod\": {\"walletId\": \"ada-$run\"}}" | field orderId)
# With this token each later query sees at least what was written here, even if the views are behind.
seen=$(grep -i '^consistency-token:' "$headers" | cut -d ' ' -f 2 | tr -d '\r')
await "/v1/orders/$order" status ORDER_STATUS_CONFIRMED
await "/v1/wallets/ada-$run" minorUnits 1000
echo "   order $order is confirmed, and 10.00 GBP are left in the wallet"

echo '3. The order is cancelled before it is shipped: the money and the pieces are returned'
call POST "/v1/orders/$order:cancel" '{"reason": "changed my mind"}' >/dev/null
await "/v1/orders/$order" status ORDER_STATUS_CANCELLED
await "/v1/wallets/ada-$run" minorUnits 6000
await "/v1/stock/lamp-$run" available 10
echo "   order $order is cancelled; 60.00 GBP are in the wallet and 10 lamps in stock"
