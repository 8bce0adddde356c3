# shellcheck shell=bash disable=SC2154 # the settings are the main script's
# Identities in the cluster: a certificate for each component, new with each `up`, and the kubeconfigs that contain them.

days=365 # far longer than a test cluster runs
new_key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)

make_certificates() {
  local at=$STATE/pki local_names service_names
  mkdir -p "$at"
  # For the tokens of service accounts.
  openssl ecparam -genkey -name prime256v1 -noout -out "$at/accounts.key"
  openssl ec -in "$at/accounts.key" -pubout -out "$at/accounts.pub"
  # The second authority is only for the API server as a client of the servers to which it forwards requests.
  authority ca
  authority front-ca
  local_names=DNS:localhost,IP:127.0.0.1,IP:$NODE_IP
  service_names=DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc
  service_names+=,DNS:kubernetes.default.svc.cluster.local,IP:$API_IP
  certificate ca apiserver /CN=kube-apiserver "$local_names,$service_names"
  certificate ca kubelet "/O=system:nodes/CN=system:node:$NAME" "DNS:$NAME,IP:$NODE_IP"
  certificate ca admin /O=system:masters/CN=admin
  certificate ca controller-manager /CN=system:kube-controller-manager
  certificate ca scheduler /CN=system:kube-scheduler
  certificate ca proxy /CN=system:kube-proxy
  certificate front-ca front /CN=front-proxy-client
}

authority() { # NAME
  local at=$STATE/pki
  openssl req -x509 "${new_key[@]}" -days "$days" -subj "/CN=$1" -keyout "$at/$1.key" -out "$at/$1.crt"
}

certificate() { # AUTHORITY NAME SUBJECT [NAMES]
  local at=$STATE/pki
  openssl req "${new_key[@]}" -subj "$3" -keyout "$at/$2.key" -out "$at/$2.csr"
  {
    echo extendedKeyUsage=serverAuth,clientAuth
    if [[ -n ${4:-} ]]; then echo "subjectAltName=$4"; fi
  } >"$at/$2.ext"
  openssl x509 -req -in "$at/$2.csr" -CA "$at/$1.crt" -CAkey "$at/$1.key" -CAcreateserial -days "$days" \
    -out "$at/$2.crt" -extfile "$at/$2.ext"
  rm "$at/$2.csr" "$at/$2.ext"
}

kubeconfig() { # CERTIFICATE FILE
  local at=$STATE/pki authority certificate key
  authority=$(base64 -w0 "$at/ca.crt")
  certificate=$(base64 -w0 "$at/$1.crt")
  key=$(base64 -w0 "$at/$1.key")
  : >"$2"
  chmod 600 "$2"
  cat >"$2" <<EOT
apiVersion: v1
kind: Config
clusters:
- name: $NAME
  cluster: { server: "https://$NODE_IP:6443", certificate-authority-data: $authority }
users:
- name: $1
  user: { client-certificate-data: $certificate, client-key-data: $key }
contexts:
- name: $NAME
  context: { cluster: $NAME, user: $1 }
current-context: $NAME
EOT
}
